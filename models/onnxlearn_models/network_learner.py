"""Learners whose network is a torch module: from a task to a Model."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from onnxlearn.effects import requirements
from onnxlearn.errors import OnnxlearnError
from onnxlearn.images.extraction import settings_of
from onnxlearn.images.extractor import Extractor
from onnxlearn.learner import Bare, Learner, OnLoss, Reference
from onnxlearn.model import Model
from onnxlearn.named import named_object
from onnxlearn.params import Param, owned
from onnxlearn.parts import part_of
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess.config import ImagesConfig, PreprocessConfig
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn.preprocess.grouped import fit_preprocessing
from onnxlearn.remarks import told_together
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn.tasks.roles import TaskWarning
from onnxlearn.tuning.ranges import Domain, Size, require_size
from onnxlearn_models.augment.change import change_of
from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.bare import bare_networks
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.layers.embedding import settle
from onnxlearn_models.layers.words import name_words
from onnxlearn_models.many import Ready, in_groups, train_group
from onnxlearn_models.prepared import Generators, Prepared, WeighedRows, balance_classes, filled_in, scale_target
from onnxlearn_models.shipping import Rows, calibrated, ship, summary, torch_reference
from onnxlearn_models.spaces import space_of
from onnxlearn_models.stacked.choice import MOST, form_of, is_quicker
from onnxlearn_models.training.callbacks.watch import Watch
from onnxlearn_models.training.checkpoint import CheckpointFile
from onnxlearn_models.training.config import (
    CHOICES,
    TrainConfig,
    choose_training,
    is_setting,
    plain,
    require_settings,
    stranger,
    train_config_type,
)
from onnxlearn_models.training.devices import choose_device
from onnxlearn_models.training.folder import training_folder
from onnxlearn_models.training.freezing import freeze
from onnxlearn_models.training.groups import layered, parameter_groups, regrouped
from onnxlearn_models.training.history import OnEpoch, TrainResult
from onnxlearn_models.training.kept import read_network, write_network
from onnxlearn_models.training.loop import train_network
from onnxlearn_models.training.lr_range import range_test
from onnxlearn_models.training.measuring import make_measuring
from onnxlearn_models.training.objective import Objective, choose_head, make_objective
from onnxlearn_models.training.optimizer import Group
from onnxlearn_models.training.progress import progress_bar
from onnxlearn_models.training.run_info import RunInfo
from onnxlearn_models.training.sampling import make_sampler
from onnxlearn_models.training.start import StartWarning
from onnxlearn_models.training.team import join
from onnxlearn_models.training.tensors import Tensors
from onnxlearn_models.training.trainable import require_trainable

SHARED: tuple[type, ...] = (PreprocessConfig, TrainConfig, OutputConfig)
"""The parameters that every network has beside those of its architecture."""


def shared_with(preprocess_config: type[PreprocessConfig]) -> tuple[type, ...]:
    """The same for networks with such preprocessing: those that take images have augmentation."""
    further = (AugmentConfig,) if issubclass(preprocess_config, ImagesConfig) else ()
    return (preprocess_config, *SHARED[1:], *further)


class NetworkLearner(Learner):
    """A learner made of an architecture: a function of schema and settings that gives a network.

    A subclass sets ``name``, ``architecture`` and ``architecture_config``, the dataclass of its settings. The network's
    ``forward(num, cat)`` takes float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no such columns, and
    gives ``[N, schema.n_outputs]``, or ``[N, k, schema.n_outputs]`` for k members that are averaged. With
    ``preprocess_config = ColumnsConfig`` it takes images and texts too: ``forward(num, cat, columns)``, a dictionary of what
    ``schema.ingress.columns`` names, ``None`` where there are none. It may have
    ``initialize(inputs)``, which sets weights and buffers by the training rows before training, but no shape, and ``notes``,
    what users have to know of the weights that it begins with.
    """

    architecture: ClassVar[Callable[..., nn.Module]]
    architecture_config: ClassVar[type]
    preprocess_config: ClassVar[type[PreprocessConfig]] = PreprocessConfig

    def __init__(self, **params: Any) -> None:
        params = plain(params)
        for name in CHOICES:
            # Code of the user's own, as the command line names it.
            if isinstance(choice := params.get(name), str) and ":" in choice:
                params[name] = named_object(choice)
        # What happens to the caller's own mappings later must not change this recipe.
        params |= {name: copy.deepcopy(value) for name, value in params.items() if type(value) is dict}
        with owned(f"learner {self.name!r}"):
            training = train_config_type({**self.defaults, **params})
        self.config_types = tuple(training if each is TrainConfig else each for each in self.config_types)
        if isinstance(extractor := params.get("image_extractor"), Extractor) and "image_extractor" not in self.without:
            self.defaults = {**self.defaults, **settings_of(extractor)}
        # A default of a setting that another choice does not bring has nothing to say.
        known = {field.name for field in dataclasses.fields(training)}
        self.defaults = {name: value for name, value in self.defaults.items() if name in known or not is_setting(name)}
        super().__init__(**params)

    def stranger(self, name: str) -> str:
        """What a setting is that the choices here do not bring."""
        training = next(config for config in self.config_types if issubclass(config, TrainConfig))
        values = {field.name: field.default for field in dataclasses.fields(training)}
        return "" if name in values else stranger(name, {**values, **self.defaults, **self._given})

    def may_bring(self, name: str) -> bool:
        """Whether it may be a setting of another optimizer, loss or schedule."""
        return is_setting(name)

    def space(self, size: Size = "medium") -> dict[str, Domain]:
        """As of every learner: what papers searched (:mod:`onnxlearn_models.spaces`)."""
        require_size(size)
        return space_of(self.name, size)

    def watched(self, on_epoch: OnLoss) -> Self:
        """As of every learner."""
        return self.replace(callbacks=(*self.values["callbacks"], Watch(on_epoch)))

    def for_epochs(self, n_epochs: int) -> Self:
        """As of every learner: the schedule stays as it was, validation rows are trained on."""
        needs_rows = {param.name for param in self.params if all("validation" in one for one in requirements(param.when))}
        given = {name: value for name, value in self._given.items() if name not in needs_rows}
        return type(self)(**{**given, "validation": None, "stop_epoch": n_epochs})

    @property
    def params(self) -> tuple[Param, ...]:
        """Every parameter with its type, default, range and meaning; settings stand behind the choice that brings them."""
        found = super().params
        settings = [each for each in found if is_setting(each.name)]
        ordered: list[Param] = []
        for each in found:
            if registry := CHOICES.get(each.name):
                ordered.append(dataclasses.replace(each, brings=registry.settings()))
                ordered += [setting for setting in settings if setting.name.startswith(registry.prefix)]
            elif each not in settings:
                ordered.append(each)
        return tuple(ordered)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "architecture_config" in vars(cls):
            cls.config_types = (cls.architecture_config, *shared_with(cls.preprocess_config))

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Settings of architecture and training with what they leave to task and training rows filled in.

        An architecture with such settings of its own overrides this; widths and depths must not depend on the rows.
        """
        del cls
        return config, choose_training(train_config, schema, n_rows)

    @classmethod
    def parameter_groups(cls, module: nn.Module, config: TrainConfig) -> list[Group]:
        """The parameters to train, by their weight decay and factor on the learning rate."""
        del cls
        return parameter_groups(module, config)

    @classmethod
    def groups(cls, module: nn.Module, config: TrainConfig) -> list[Group]:
        """The parameters to train, with rates by their names (``param_groups``) and by their layers (``lr_layer_decay``)."""
        groups = regrouped(cls.parameter_groups(module, config), module, config.param_groups)
        return layered(groups, module, config.lr_layer_decay)

    @classmethod
    def finish(cls, module: nn.Module, config: Any, valid: Tensors | None, objective: Objective) -> nn.Module:
        """The network to ship, of the trained one with the best weights, in evaluation mode."""
        del cls, config, valid, objective
        return module

    def choose_preprocessing(self, config: PreprocessConfig, schema: Schema, n_rows: int) -> PreprocessConfig:
        """Settings of preprocessing with what the architecture makes of them for this table and these training rows."""
        del schema, n_rows
        return config

    def further_outputs(self) -> tuple[str, ...]:
        """Names of what the file gives beside the head's outputs, which is of one network alone."""
        return ()

    def build(self, schema: Schema, config: Any) -> nn.Module:
        """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
        return type(self).architecture(schema, config)

    def untrained(self, task: Task) -> nn.Module:
        """The network that training on these rows begins with."""
        return self.prepare(task).module

    def fit(
        self,
        task: Task,
        *,
        test: Task | None = None,
        folder: str | Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> Model:
        """Hold rows out, fit the preprocessing, train, export, prove parity and score the file.

        Raises: DataError, ParameterError, ProviderError (no GPU), OutputError (the folder), InterruptedFit, ParityError.
        """
        rows = self._rows(task, test)
        with told_together():
            prepared = self.prepare(rows.train, rows.valid)
            with training_folder(folder, self, task, test) as files:
                network = self.train_prepared(
                    prepared, checkpoint=files(1), keep_on_interrupt=keep_on_interrupt, progress=progress
                )
            return self._ship(network, rows, task, test)

    def n_together(self, task: Task) -> int:
        """As many as one batched network takes, where its step is quicker than one of each after the other."""
        config: TrainConfig = self.configs[2]
        # That which cannot be prepared says so where it is fitted.
        with contextlib.suppress(OnnxlearnError):
            if config.fold_parallel == "auto" and is_quicker(self.prepare(task), MOST):
                return MOST
        return 1

    def fit_together(
        self, tasks: Sequence[Task], tests: Sequence[Task | None], titles: Sequence[str]
    ) -> list[Callable[[], Model]]:
        """Train one network for each task, several as one where that is quicker."""
        rows = [self._rows(task, test) for task, test in zip(tasks, tests, strict=True)]
        ready: list[Ready] = []
        for each, title in zip(rows, titles, strict=True):
            with part_of(title):
                ready.append((self, self.prepare(each.train, each.valid)))
        # Those of one form side by side: folds may differ in their numbers of batches.
        forms = [form_of(prepared) for _, prepared in ready]
        order = sorted(range(len(ready)), key=lambda i: forms.index(forms[i]))
        ordered = [ready[i] for i in order]
        networks = [network for group in in_groups(ordered) for network in train_group([ordered[i] for i in group])]
        return [partial(self._ship, networks[order.index(i)], rows[i], tasks[i], tests[i]) for i in range(len(tasks))]

    def _rows(self, task: Task, test: Task | None) -> Rows:
        """The rows by what they are for. Raises: DataError, ParameterError."""
        self.require_tasks(task, test)
        config: TrainConfig = self.configs[2]
        outputs: OutputConfig = self.configs[3]
        outputs.require(task.schema.target)
        return Rows.of(task, config.validation, outputs, config.seed, test)

    def _ship(self, network: FittedNetwork, rows: Rows, task: Task, test: Task | None) -> Model:
        training = {**summary(network.result), "chosen": network.chosen, "seed": self.configs[2].seed}
        post = calibrated((network,), rows, self.configs[3])
        return ship((network,), rows, post=post, learner=self, training=training, notes=task.notes, test=test)

    def reference(self, task: Task) -> Reference:
        """What torch makes of rows, by the network that :meth:`fit` trains on this task: all numbers of its file."""
        config, outputs = self.configs[2], self.configs[3]
        rows = Rows.of(task, config.validation, outputs, config.seed)
        return torch_reference([self.train(rows.train, rows.valid, progress=False)], rows, outputs)

    def bare(self, task: Task) -> Bare:
        """The network that training begins with, on the CPU."""
        return bare_networks([self.begun(task)])

    def losses_at(self, task: Task, lrs: Sequence[float]) -> Sequence[float]:
        """See :meth:`onnxlearn.learner.Learner.losses_at`; by the network that :meth:`fit` begins with."""
        self.require_tasks(task)
        config = self.configs[2]
        prepared = self.prepare(Rows.of(task, config.validation, self.configs[3], config.seed).train)
        with prepared.generators.resumed():
            train = prepared.tensors(prepared.train)
            prepared.initialize(train)
            module, config = prepared.module, prepared.config
            with prepared.computing():
                groups = self.groups(module, config)
                return range_test(module, train, prepared.objective, config, groups, lrs, change=prepared.change)

    def begun(self, task: Task) -> tuple[nn.Module, FittedPreprocessing]:
        """What would be shipped, had it been trained: the network, on the CPU, and what makes its tensors."""
        prepared = self.replace(device="cpu").prepare(task)
        with prepared.generators.resumed(), torch.no_grad():
            rows = prepared.tensors(prepared.train)
            prepared.initialize(rows)
            # They also stand for validation rows, which an architecture may choose its parts by.
            module = self.finish(prepared.module.eval(), prepared.architecture, rows, prepared.objective)
        return module.eval(), prepared.preprocessing

    def train(self, train: Task, valid: Task | None, *, progress: bool | None = None) -> FittedNetwork:
        """Fit the preprocessing and the network on the first rows, choosing the epoch by the second."""
        return self.train_prepared(self.prepare(train, valid), progress=progress)

    def prepare(self, train: Task, valid: Task | None = None) -> Prepared:
        """All that comes before the training: it is quick, and refuses what can be refused.

        Raises: DataError, ParameterError, ProviderError.
        """
        given, given_preprocessing, given_training, outputs, *augmentation = self.configs
        architecture, config = self.choose(given, given_training, train.schema, train.n_rows)
        preprocess_config = self.choose_preprocessing(given_preprocessing, train.schema, train.n_rows)
        pairs = ((given, architecture), (given_preprocessing, preprocess_config), (given_training, config))
        device = choose_device(config.device)
        require_settings(config)
        head = choose_head(train.schema.target, outputs, config)
        preprocessing = fit_preprocessing(
            train.schema, preprocess_config, train.feeds(), train.truth(), train.weights(), train.groups()
        )
        scaling = scale_target(train, preprocess_config, config)
        objective = make_objective(head, config, scaling, device)
        class_weights = balance_classes(train, config)
        weighed = WeighedRows.of(train, class_weights, "training")
        measuring = make_measuring(
            config.measures, config.monitor, config.eval_every, head=head, scaling=scaling, post=Postprocessing.plain(outputs),
            train=train, valid=valid,
        )  # fmt: skip
        generators = Generators(config.seed, device)
        with generators.resumed():
            sampler = make_sampler(config, weighed.bare())
            module = self.build(preprocessing.schema.for_network(head.width), architecture).to(device)
        name_words(module, preprocessing.words)
        freeze(module, config.freeze, config.unfreeze or ())
        require_trainable(module, self.groups(module, config), config, sampler.n_rows, self, device)
        notes = list[str](getattr(module, "notes", ()))
        notes += [] if config.start_from is None else config.start_from.notes(module, train.schema)
        if notes:
            warnings.warn(". ".join(notes), StartWarning, stacklevel=2)
        notes += [] if config.start_from is None else config.start_from.origin(train.schema)
        if preprocessing.notes:
            warnings.warn(". ".join(preprocessing.notes), TaskWarning, stacklevel=2)
            notes += preprocessing.notes
        chosen = {name: value for left, used in pairs for name, value in filled_in(left, used).items()}
        return Prepared(
            module=module,
            train=weighed,
            valid=None if valid is None else WeighedRows.of(valid, class_weights, "validation"),
            preprocessing=preprocessing,
            head=head,
            scaling=scaling,
            objective=objective,
            measuring=measuring,
            architecture=architecture,
            config=config,
            chosen=chosen,
            info=RunInfo(train.name, self.name, self.to_dict()["params"], chosen),
            device=device,
            generators=generators,
            notes=notes,
            change=change_of(augmentation, preprocessing),
        )

    def train_prepared(
        self,
        prepared: Prepared,
        *,
        checkpoint: CheckpointFile | None = None,
        kept: Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> FittedNetwork:
        """Train what :meth:`prepare` gave, which is used up by it; go on from a checkpoint, if there is one.

        ``kept``: the file that :meth:`restored` makes the same network of.

        Raises: ParameterError where the loss is not finite in the first epoch or the checkpoint does not fit, InterruptedFit.
        """
        config = prepared.config
        assert config.max_epochs is not None
        team = join(prepared.device)
        show = progress if team.is_first else False
        with (
            prepared.generators.resumed(),
            progress_bar(min(config.max_epochs, config.stop_epoch or config.max_epochs), show=show) as on_epoch,
        ):
            arguments = self.arguments(prepared, on_epoch)
            with prepared.readers, prepared.computing():
                result = train_network(**arguments, keep_on_interrupt=keep_on_interrupt, team=team, checkpoint=checkpoint)
                return self.trained(prepared, arguments["valid"], result, kept)

    def arguments(self, prepared: Prepared, on_epoch: OnEpoch) -> dict[str, Any]:
        """What a :class:`~onnxlearn_models.training.loop.Training` takes, before its first step.

        Random numbers have to be the network's.
        """
        module, counts = prepared.module, prepared.preprocessing.counts
        train = prepared.tensors(prepared.train)
        valid = None if prepared.valid is None else prepared.tensors(prepared.valid)
        prepared.initialize(train)
        return {
            "module": module,
            "train": train,
            "valid": valid,
            "objective": prepared.objective,
            "config": prepared.config,
            "groups": self.groups(module, prepared.config),
            "settle": lambda: settle(module, counts),
            "on_epoch": on_epoch,
            "info": prepared.info,
            "measuring": prepared.measuring,
            "change": prepared.change,
        }

    def restored(self, prepared: Prepared, kept: Path) -> FittedNetwork:
        """The network that was trained of the same rows and kept. Raises: DataError where the file is damaged."""
        with prepared.generators.resumed(), prepared.readers, prepared.computing():
            result = read_network(kept, prepared.module)
            return self.trained(prepared, None if prepared.valid is None else prepared.tensors(prepared.valid), result)

    def trained(
        self, prepared: Prepared, valid: Tensors | None, result: TrainResult, kept: Path | None = None
    ) -> FittedNetwork:
        """What is shipped when the training is over. Random numbers have to be the network's."""
        if kept is not None:
            write_network(kept, prepared.module, result)
        result.notes[:0] = prepared.notes
        shipped = self.finish(prepared.module, prepared.architecture, valid, prepared.objective).cpu()
        return FittedNetwork(shipped, prepared.preprocessing, prepared.head, prepared.scaling, result, prepared.chosen)
