"""The user's own network: a function that makes one, an ``nn.Module`` class, or an instance."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from onnxlearn.errors import DataError, OnnxlearnError, ParameterError, listing
from onnxlearn.learner import Learner
from onnxlearn.named import named_object, reason
from onnxlearn.params import param, to_json
from onnxlearn.postprocess.heads import Head
from onnxlearn.preprocess.config import ImagesConfig, PreprocessConfig
from onnxlearn.preprocess.plan import numeric_feature, plan_ingress
from onnxlearn.schema import Column, Schema
from onnxlearn.task import Task
from onnxlearn_models.arguments import (
    FROM_SCHEMA,
    absent,
    call,
    config_type,
    parameters,
    refuse_clashes,
    signature,
    takes_any,
    title,
)
from onnxlearn_models.layers.embedding import CodeEmbedding, Settled
from onnxlearn_models.layers.lookup import Lookups
from onnxlearn_models.network_learner import NetworkLearner, shared_with
from onnxlearn_models.prepared import Prepared
from onnxlearn_models.rehearsal import Rehearsal, bare
from onnxlearn_models.training.config import is_setting
from onnxlearn_models.training.devices import choose_device
from onnxlearn_models.training.tensors import OWN_ARGUMENTS

INGRESSES = (*OWN_ARGUMENTS, "columns")
"""What a network can ask for: numbers float32 ``[N, n_num]``, codes int64 ``[N, n_cat]``, and a dictionary of images."""

OF_EMBEDDINGS = ("embedding_lr", "embedding_weight_decay")

SHARED = shared_with(ImagesConfig)


class UntrainedRowsWarning(UserWarning):
    """Initial values that were never trained may reach predictions."""


@dataclass(frozen=True, kw_only=True)
class ModuleConfig:
    """The network; its own arguments stand beside it."""

    module: Any = param(
        None, "the network: a function (schema, ...) that makes one, an nn.Module class or an instance, or package.module:name"
    )


@dataclass(frozen=True)
class Asked:
    """The tensors that a network's ``forward`` asks for by the names of its arguments, and how they are given."""

    positional: tuple[str, ...]
    keywords: tuple[str, ...]

    @classmethod
    def of(cls, network: nn.Module | type[nn.Module]) -> Asked:
        """Read the arguments of ``forward``. Raises: ParameterError for arguments that are no tensors that there are."""
        owner, arguments = title(network), list(signature(network.forward).parameters.values())
        if isinstance(network, type):
            arguments = arguments[1:]
        named = [a for a in arguments if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
        for argument in named:
            optional = argument.default is not argument.empty and argument.kind is not argument.POSITIONAL_ONLY
            if argument.name not in INGRESSES and not optional:
                raise ParameterError(
                    f"{owner}.forward asks for {argument.name!r}; by the names of its arguments it can ask for num, numbers, "
                    "float32 [N, n_num], cat, codes of categories, int64 [N, n_cat], and columns, a dictionary of images, "
                    "float32 [N, C, h, w]: rename the argument, or put the network into one whose forward asks so"
                )
        positional = tuple(a.name for a in named if a.kind is a.POSITIONAL_ONLY)
        keywords = tuple(a.name for a in named if a.name in INGRESSES and a.kind is not a.POSITIONAL_ONLY)
        if any(a.kind is a.VAR_KEYWORD for a in arguments):
            # Images come to those who name them.
            keywords += tuple(name for name in OWN_ARGUMENTS if name not in positional + keywords)
        if not positional + keywords:
            raise ParameterError(
                f"{owner}.forward asks for no tensor by name; give it some of the arguments num, cat and columns: "
                "forward(self, num, cat)"
            )
        return cls(positional, keywords)

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors, in the order of :data:`INGRESSES`."""
        return tuple(name for name in INGRESSES if name in self.positional + self.keywords)

    @property
    def cat_encoding(self) -> Literal["embedding", "onehot"]:
        """Categories enter as codes where these are asked for, one-hot where not."""
        return "embedding" if "cat" in self.names else "onehot"

    @property
    def defaults(self) -> dict[str, str]:
        """Settings of preprocessing that give what is asked for."""
        return {"cat_encoding": self.cat_encoding} | ({} if "num" in self.names else {"ordered_encoding": "categorical"})


class UserNetwork(Settled):
    """A network of the user's behind the arguments that all networks have; it gets those that it asks for.

    ``forward(num, cat, columns)``: float32 ``[N, n_num]``, int64 ``[N, n_cat]`` and a dictionary of images float32
    ``[N, C, h, w]``, ``None`` where there are no such columns, to what the network gives. Its own methods stay its own: one
    that is called like a hook of training is none.
    ``own_prefix``: what stands before the names of its own parameters.
    """

    own_prefix = "network."

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.asked = Asked.of(network)
        self.lookups = Lookups()

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None, columns: dict[str, Tensor] | None = None) -> Any:
        """What the network makes of the tensors that it asks for."""
        inputs = {"num": num, "cat": cat, "columns": columns}
        asked = self.asked
        return self.network(*(inputs[name] for name in asked.positional), **{name: inputs[name] for name in asked.keywords})

    def settle(self, counts: Sequence[np.ndarray]) -> None:
        """No row of a table of the network's own that no training row looks up reaches a prediction, where it can be told."""
        for lookup in self.lookups.known:
            lookup.settle(self.get_parameter(lookup.table), counts)


def build_module(schema: Schema, config: ModuleConfig) -> UserNetwork:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator or are given.

    Raises: ParameterError where it cannot be made.
    """
    what = config.module
    if isinstance(what, nn.Module):
        return UserNetwork(_copied(what))
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name != "module"}
    try:
        made = call(what, schema, values)
    except OnnxlearnError:
        raise
    except Exception as error:
        raise ParameterError(f"{title(what)} cannot make the network: {reason(error)}") from error
    if not isinstance(made, nn.Module):
        kind = f"the class {made.__qualname__}" if isinstance(made, type) else f"a value of type {type(made).__qualname__}"
        raise ParameterError(f"{title(what)} has to give an nn.Module; it gives {kind}")
    # It may be the same network each time, or hold one that was given: nothing may learn from one fit to the next. Parameters
    # that wait for their first batch cannot be copied, and need not be: they are new.
    return UserNetwork(made if any(is_lazy(p) for p in made.parameters()) else _copied(made))


class ModuleLearner(NetworkLearner):
    """Learner ``module``: a network of the user's own, whose arguments become parameters."""

    name: ClassVar[str] = "module"
    architecture = staticmethod(build_module)
    architecture_config = ModuleConfig
    preprocess_config: ClassVar[type] = ImagesConfig

    def __init__(self, **params: Any) -> None:
        if params.get("module") is not None:
            params["module"] = own_network(params["module"])
            # What happens to the user's own networks later must not change this recipe.
            params |= {name: _copied(value) for name, value in params.items() if isinstance(value, nn.Module)}
            what = params["module"]
            if not _makes_networks(what):
                self.defaults = Asked.of(what).defaults
            self.config_types = (_config_of(what, params), *SHARED)
        super().__init__(**params)
        for name, value in self._given.items():
            # After training it would be late to find that the metadata cannot tell it.
            if name != "module":
                to_json(value)

    def may_bring(self, name: str) -> bool:
        """Whether it may be an argument of another network: any name may."""
        del name
        return True

    def __repr__(self) -> str:
        if self.configs[0].module is None:
            return super().__repr__()
        given = {name: value for name, value in self._given.items() if name != "module"}
        parts = [title(self.configs[0].module), *(f"{name}={value!r}" for name, value in given.items())]
        return f"learner({', '.join(parts)})"

    def prepare(self, train: Task, valid: Task | None = None) -> Prepared:
        """Refuse what is incomplete, then prepare as every network."""
        config = self.configs[0]
        if config.module is None:
            raise ParameterError(
                "learner 'module' needs a network: module=MyNetwork, or at once ol.learner(MyNetwork); on the command line "
                "--learner package.module:name, such as --learner nets:MyNetwork for a class in nets.py"
            )
        if names := absent(config):
            filled = ", ".join(FROM_SCHEMA)
            raise ParameterError(
                f"{title(config.module)} needs the parameter {listing(names)}, which has no default: give {names[0]}= "
                f"(filled in are {filled})"
            )
        return super().prepare(train, valid)

    def choose_preprocessing(self, config: PreprocessConfig, schema: Schema, n_rows: int) -> PreprocessConfig:
        """Categories one-hot or as codes, as ``forward`` asks; columns that it does not ask for are refused."""
        del n_rows
        asked, owner = self._asked(config, schema), title(self.configs[0].module)
        if config.cat_encoding == "auto" and ("cat_encoding" not in self._given or "cat" not in asked.names):
            config = dataclasses.replace(config, cat_encoding=asked.cat_encoding)
        if "cat" not in asked.names and config.cat_encoding == "embedding":
            raise ParameterError(
                f"cat_encoding='embedding' gives codes in cat, for which {owner}.forward does not ask: leave cat_encoding out, "
                "which gives one-hot columns in num, or ask for cat"
            )
        ingress = plan_ingress(schema, config)
        if ingress.columns and "columns" not in asked.names:
            column = schema.column(ingress.columns[0].column)
            raise DataError(
                f"{owner}.forward does not ask for columns, a dictionary of images, and column {column.name!r} is one: "
                f"ask for columns, or give the task ignore=[{column.name!r}]"
            )
        if ingress.n_num and "num" not in asked.names:
            column = schema.column(numeric_feature(schema, ingress))
            raise DataError(
                f"{owner}.forward asks for {' and '.join(asked.names)} alone, and column {column.name!r}, {column.kind}, gives "
                f"numbers: {_way_out(column, config, asked)}, or ask for num as well"
            )
        return config

    def build(self, schema: Schema, config: Any) -> nn.Module:
        """The network, which has shown that it can be trained and exported."""
        network = super().build(schema, config)
        assert isinstance(network, UserNetwork)
        owner = title(type(network.network))
        rehearsal = Rehearsal(network, schema, owner=owner, asked=network.asked.names)
        rehearsal.train(choose_device(self.configs[2].device))
        self._require_embedding(network, schema)
        network.lookups = rehearsal.lookups()
        rehearsal.export()
        if network.lookups.unknown:
            tables = listing(bare(name) for name in network.lookups.unknown)
            warnings.warn(
                f"which rows of {tables} of {owner} training reaches cannot be told, so rows that it does not reach keep their "
                "initial values: look codes up by CodeEmbedding "
                "(onnxlearn_models.layers.embedding), or cat[:, i] by an nn.Embedding of its own",
                UntrainedRowsWarning,
                stacklevel=2,
            )
        return network

    def _require_embedding(self, network: nn.Module, schema: Schema) -> None:
        """Raise ``ParameterError`` where settings of embeddings were given and categories enter none that they could find."""
        given = [name for name in OF_EMBEDDINGS if self.given.get(name) is not None]
        embeds = any(isinstance(part, CodeEmbedding) for part in network.modules())
        if given and not embeds and schema.of_kind("categorical", "ordered"):
            raise ParameterError(
                f"{given[0]} changes nothing in {title(self.configs[0].module)}: it is for the codes that a CodeEmbedding "
                "(onnxlearn_models.layers.embedding) looks up; use one, or leave it out"
            )

    def _asked(self, config: PreprocessConfig, schema: Schema) -> Asked:
        """What ``forward`` asks for; for a function that makes networks this takes making one."""
        what = self.configs[0].module
        if not _makes_networks(what):
            return Asked.of(what)
        for_network = schema.for_network(Head.of(schema.target, self.configs[3]).width)
        encodings: tuple[Any, ...] = (config.cat_encoding,) if "cat_encoding" in self._given else ("embedding", "onehot")
        for encoding in encodings:
            ingress = plan_ingress(schema, dataclasses.replace(config, cat_encoding=encoding))
            try:
                return _asked_by_made(dataclasses.replace(for_network, ingress=ingress), self.configs[0])
            except ParameterError as error:
                # It may be one that only makes networks for numbers.
                failed = error
        raise failed


def _asked_by_made(schema: Schema, config: ModuleConfig) -> Asked:
    """What a network asks for that is made for this and thrown away."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # It may not get these tensors in the end, and torch warns of layers without inputs.
        warnings.simplefilter("ignore")
        return build_module(schema, config).asked


def own_network(what: Any) -> Any:
    """A function, an ``nn.Module`` class or an instance, maybe by its name. Raises: ParameterError."""
    if isinstance(what, str):
        what = named_object(what)
    if isinstance(what, nn.Module):
        return what
    if isinstance(what, Learner) or (isinstance(what, type) and issubclass(what, Learner)):
        raise ParameterError(f"module= takes a network, and {title(what)} is a learner already: use it as it is")
    if isinstance(what, type) and not issubclass(what, nn.Module):
        raise ParameterError(f"module= takes a class of networks, an nn.Module; {title(what)} is none")
    if not callable(what) or not hasattr(what, "__qualname__"):
        raise ParameterError(
            f"module= takes a function, an nn.Module class or an instance of one, not a value of type {title(what)}; what a "
            "functools.partial would fill in is given as parameters"
        )
    return what


def _config_of(what: Any, params: dict[str, Any]) -> type:
    """The dataclass of the network and its arguments. Raises: ParameterError for arguments that are no parameters."""
    if isinstance(what, nn.Module):
        return ModuleConfig
    refuse_clashes(what, ModuleConfig, SHARED)
    if taken := [name for name in parameters(what) if is_setting(name)]:
        raise ParameterError(
            f"{title(what)} has the argument {taken[0]!r}, and names that begin so are settings of the training: "
            "call it something else"
        )
    filled = [name for name in params if name in FROM_SCHEMA and name in signature(what).parameters]
    if filled:
        raise ParameterError(f"{filled[0]} of {title(what)} is filled in from the task: leave it out")
    known = {field.name for config in (ModuleConfig, *SHARED) for field in dataclasses.fields(config)}
    further = [name for name in params if name not in known | set(parameters(what))] if takes_any(what) else []
    return config_type(ModuleConfig, what, tuple(further))


def _makes_networks(what: Any) -> bool:
    """Whether it is a function: only what it makes tells what ``forward`` asks for."""
    return not isinstance(what, nn.Module | type)


def _copied(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except Exception as error:
        raise ParameterError(
            f"{title(network)} is copied for each fit and cannot be copied: {reason(error)}; give its class or a function"
        ) from error


def _way_out(column: Column, config: PreprocessConfig, asked: Asked) -> str:
    """What makes a column that gives numbers give codes, or nothing."""
    if column.kind == "image":
        return "set missing_indicator=False"
    if "cat" not in asked.names:
        return f"give the task ignore=[{column.name!r}]"
    if column.kind == "ordered":
        return "set ordered_encoding='categorical'"
    if column.kind == "categorical":
        return f"leave cat_encoding={config.cat_encoding!r} out"
    kinds = f" or kinds={{{column.name!r}: 'categorical'}}" if column.dtype == "int64" else ""
    return f"give the task ignore=[{column.name!r}]{kinds}"
