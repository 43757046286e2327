"""Learners whose network is a torch module: from a task to a Model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from onnxlearn.learner import Bare, Learner, Reference
from onnxlearn.model import Model
from onnxlearn.params import to_json
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.heads import Head
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn_models.bare import bare_networks
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.layers.embedding import settle
from onnxlearn_models.prepared import Generators, Prepared, WeighedRows, balance_classes, choose_device, filled_in, scale_target
from onnxlearn_models.shipping import Rows, calibrated, ship, summary, torch_reference
from onnxlearn_models.training.checkpoint import CheckpointFile
from onnxlearn_models.training.config import TrainConfig, choose_training, plain
from onnxlearn_models.training.folder import training_folder
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import require_trainable, train_network
from onnxlearn_models.training.objective import Objective, make_objective
from onnxlearn_models.training.optimizer import Group
from onnxlearn_models.training.progress import progress_bar
from onnxlearn_models.training.start import StartWarning
from onnxlearn_models.training.tensors import Tensors
from onnxlearn_models.training.threads import choose_threads, threads

SHARED: tuple[type, ...] = (PreprocessConfig, TrainConfig, OutputConfig)
"""The parameters that every network has beside those of its architecture."""


class NetworkLearner(Learner):
    """A learner made of an architecture: a function of schema and settings that gives a network.

    A subclass sets ``name``, ``architecture`` and ``architecture_config``, the dataclass of its settings. The network's
    ``forward(num, cat)`` takes float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no such columns, and
    gives ``[N, schema.n_outputs]``, or ``[N, k, schema.n_outputs]`` for k members that are averaged. It may have
    ``initialize(inputs)``, which sets weights and buffers by the training rows before training, but no shape.
    """

    architecture: ClassVar[Callable[..., nn.Module]]
    architecture_config: ClassVar[type]

    def __init__(self, **params: Any) -> None:
        super().__init__(**plain(params))

    def to_dict(self) -> dict[str, Any]:
        """As of every learner; without callbacks that only watch."""
        document = super().to_dict()
        document["params"]["callbacks"] = [to_json(each) for each in self.values["callbacks"] if each.recorded]
        return document

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "architecture_config" in vars(cls):
            cls.config_types = (cls.architecture_config, *SHARED)

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
        self.require_tasks(task, test)
        config: TrainConfig = self.configs[2]
        outputs: OutputConfig = self.configs[3]
        outputs.require(task.schema.target)
        rows = Rows.of(task, config.validation, outputs, config.seed)
        prepared = self.prepare(rows.train, rows.valid)
        with training_folder(folder, self, task) as files:
            network = self.train_prepared(prepared, checkpoint=files(1), keep_on_interrupt=keep_on_interrupt, progress=progress)
        training = {**summary(network.result), "chosen": network.chosen, "seed": config.seed}
        post = calibrated((network,), rows, outputs)
        model = ship((network,), rows, post=post, learner=self, training=training, notes=task.notes, test=test)
        model.callbacks = tuple(network.result.callbacks)
        return model

    def reference(self, task: Task) -> Reference:
        """What torch makes of rows, by the network that :meth:`fit` trains on this task: all numbers of its file."""
        config, outputs = self.configs[2], self.configs[3]
        rows = Rows.of(task, config.validation, outputs, config.seed)
        return torch_reference([self.train(rows.train, rows.valid, progress=False)], rows, outputs)

    def bare(self, task: Task) -> Bare:
        """The network that training begins with, on the CPU."""
        return bare_networks([self.begun(task)])

    def begun(self, task: Task) -> tuple[nn.Module, Preprocessing]:
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
        given, given_preprocessing, given_training, outputs = self.configs
        architecture, config = self.choose(given, given_training, train.schema, train.n_rows)
        preprocess_config = self.choose_preprocessing(given_preprocessing, train.schema, train.n_rows)
        pairs = ((given, architecture), (given_preprocessing, preprocess_config), (given_training, config))
        device = choose_device(config.device)
        head = Head.of(train.schema.target, outputs)
        preprocessing = Preprocessing.fit(train.schema, preprocess_config, train.feeds())
        scaling = scale_target(train, preprocess_config)
        objective = make_objective(head, config, scaling, device)
        class_weights = balance_classes(train, config)
        generators = Generators(config.seed, device)
        with generators.resumed():
            module = self.build(preprocessing.schema.for_network(head.width), architecture).to(device)
        require_trainable(module, self.parameter_groups(module, config), config, train.n_rows, self)
        notes = [] if config.start_from is None else config.start_from.notes(module, train.schema)
        for note in notes:
            warnings.warn(note, StartWarning, stacklevel=2)
        return Prepared(
            module=module,
            train=WeighedRows.of(train, class_weights, "training"),
            valid=None if valid is None else WeighedRows.of(valid, class_weights, "validation"),
            preprocessing=preprocessing,
            head=head,
            scaling=scaling,
            objective=objective,
            architecture=architecture,
            config=config,
            chosen={name: value for left, used in pairs for name, value in filled_in(left, used).items()},
            device=device,
            generators=generators,
            notes=notes,
        )

    def train_prepared(
        self,
        prepared: Prepared,
        *,
        checkpoint: CheckpointFile | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> FittedNetwork:
        """Train what :meth:`prepare` gave, which is used up by it; go on from a checkpoint, if there is one.

        Raises: ParameterError where the loss is not finite in the first epoch or the checkpoint does not fit, InterruptedFit.
        """
        module, config, code_counts = prepared.module, prepared.config, prepared.preprocessing.code_counts
        assert config.max_epochs is not None
        assert config.batch_size is not None
        with prepared.generators.resumed(), progress_bar(config.max_epochs, show=progress) as on_epoch:
            train = prepared.tensors(prepared.train)
            valid = None if prepared.valid is None else prepared.tensors(prepared.valid)
            prepared.initialize(train)
            n_weights = sum(parameter.numel() for parameter in module.parameters())
            rows = config.batch_size * getattr(module, "n_batch_members", 1)
            with threads(choose_threads(config.n_threads, n_weights, rows)):
                result = train_network(
                    module,
                    train,
                    valid,
                    objective=prepared.objective,
                    config=config,
                    groups=self.parameter_groups(module, config),
                    settle=lambda: settle(module, code_counts),
                    on_epoch=on_epoch,
                    keep_on_interrupt=keep_on_interrupt,
                    checkpoint=checkpoint,
                )
                result.notes[:0] = prepared.notes
                shipped = self.finish(module, prepared.architecture, valid, prepared.objective).cpu()
        return FittedNetwork(shipped, prepared.preprocessing, prepared.head, prepared.scaling, result, prepared.chosen)
