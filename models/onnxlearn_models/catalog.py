"""What is known of the learners before torch is imported: the targets of the entry points."""

from __future__ import annotations

from onnxlearn.registry import LearnerInfo
from onnxlearn.schema import Kind

_TABLE: tuple[Kind, ...] = ("numeric", "categorical", "ordered", "boolean", "datetime")

MLP = LearnerInfo(
    name="mlp",
    target="onnxlearn_models.mlp:MLP",
    summary="multilayer perceptron with entity embeddings and periodic embeddings of numbers",
    use="first, and whenever seconds count: good on any table",
    source="Gorishniy et al. 2021 (MLP); Guo and Berkhahn 2016, Holzmüller et al. 2024 (embeddings)",
)

ENSEMBLE = LearnerInfo(
    name="ensemble",
    target="onnxlearn_models.ensemble:Ensemble",
    summary="several learners or seeds in one file, averaged",
    use="less chance in the scores, for the time of all members together",
    source="Lakshminarayanan et al. 2017",
)

BAGGING = LearnerInfo(
    name="bagging",
    target="onnxlearn_models.bagging:Bagging",
    summary="one network a fold of a cross-validation in one file, averaged",
    use="small tables; each training row predicted by a network that has not seen it",
    source="Parmanto et al. 1996; AutoGluon (Erickson et al. 2020)",
    out_of_fold=True,
)

AUTO = LearnerInfo(
    name="auto",
    target="onnxlearn_models.auto.learner:Auto",
    summary="within a time, the strong learners and settings of theirs; the best of them averaged in one file",
    use="you have minutes and no time to choose",
    source="Feurer et al. 2015; AutoGluon (Erickson et al. 2020)",
    kinds=("image", "text", *_TABLE),
    needs=("torch", "onnx", "optuna"),
    extra="train,tune",
    out_of_fold=True,
)

MODULE = LearnerInfo(
    name="module",
    target="onnxlearn_models.module:ModuleLearner",
    summary="a network of your own: a function, a class or an instance; also by package.module:name",
    use="research, and what the others lack",
    source="the module learners of mlr3torch and mlr3keras",
    kinds=("image", *_TABLE),
)

GRAPH = LearnerInfo(
    name="graph",
    target="onnxlearn_models.graphs.learner:GraphLearner",
    summary="a network put together of layers by >>, with every setting of every layer as a parameter",
    use="a network of your own that is data: to be searched, drawn and shared",
    source="the graph language of mlr3torch",
    kinds=("image", "text", *_TABLE),
)

FEATURELESS = LearnerInfo(
    name="featureless",
    target="onnxlearn_models.featureless:Featureless",
    summary="the baseline: class frequencies or the mean of the target, whatever the features say",
    use="to see what any other learner is worth",
    source="the featureless learners of mlr3",
    needs=("onnx",),
    extra="export",
)

LINEAR = LearnerInfo(
    name="linear",
    target="onnxlearn_models.linear:Linear",
    summary="linear or logistic regression; small, quick, and easy to explain",
    source="the penalties of scikit-learn's Ridge and LogisticRegression",
    use="a baseline; few rows; effects that add up",
)

REALMLP = LearnerInfo(
    name="realmlp",
    target="onnxlearn_models.realmlp:RealMLP",
    summary="multilayer perceptron with tuned defaults and 256 epochs",
    use="the published recipe; a member of ensembles",
    source="Holzmüller, Grinsztajn and Steinwart 2024 (RealMLP-TD)",
)

TABNET = LearnerInfo(
    name="tabnet",
    target="onnxlearn_models.tabnet:TabNet",
    summary="chooses columns row by row and can say which (masks)",
    use="you want its masks; its scores are rarely the best",
    source="Arik and Pfister 2021",
)

TAB_RESNET = LearnerInfo(
    name="tab_resnet",
    target="onnxlearn_models.tab_resnet:TabResNet",
    summary="residual network with batch norm",
    use="quick to train, of any depth",
    source="Gorishniy et al. 2021 (ResNet)",
)

FT_TRANSFORMER = LearnerInfo(
    name="ft_transformer",
    target="onnxlearn_models.ft_transformer:FTTransformer",
    summary="attention between the columns",
    use="few columns that interact; slow with many",
    source="Gorishniy et al. 2021 (FT-Transformer)",
)

ENTITY_MLP = LearnerInfo(
    name="entity_mlp",
    target="onnxlearn_models.entity_mlp:EntityMLP",
    summary="small multilayer perceptron on entity embeddings and batch-normalized numbers",
    source="Guo and Berkhahn 2016; kerasff of mlr3keras",
    use="a small file; layers of any width",
)

DEEP_WIDE = LearnerInfo(
    name="deep_wide",
    target="onnxlearn_models.deep_wide:DeepWide",
    summary="a linear model and a multilayer perceptron, added",
    source="Cheng et al. 2016; deep_wide of mlr3keras",
    use="much of the signal is linear",
)

SHAPED_MLP = LearnerInfo(
    name="shaped_mlp",
    target="onnxlearn_models.shaped_mlp:ShapedMLP",
    summary="multilayer perceptron whose layers narrow towards the output",
    source="Zimmer, Lindauer and Hutter 2021 (search space 1); smlp of mlr3keras",
    use="few parameters to tune: n_layers and n_max",
)

SHAPED_RESNET = LearnerInfo(
    name="shaped_resnet",
    target="onnxlearn_models.shaped_resnet:ShapedResNet",
    summary="residual network whose blocks narrow towards the output, with shake-shake and shake-drop",
    source="Zimmer, Lindauer and Hutter 2021 (search space 2); smlp2 of mlr3keras",
    use="small tables on which networks overfit",
)

TABM = LearnerInfo(
    name="tabm",
    target="onnxlearn_models.tabm:TabM",
    summary="32 multilayer perceptrons that share their weights, averaged",
    source="Gorishniy, Kotelnikov and Babenko 2025 (TabM), with piecewise linear embeddings (Gorishniy et al. 2022)",
    use="an ensemble in one network; minutes of training",
)

TABM_MINI = LearnerInfo(
    name="tabm_mini",
    target="onnxlearn_models.tabm:TabMMini",
    summary="as tabm, but the members share all but the scaling of their inputs and their output layers",
    source="Gorishniy, Kotelnikov and Babenko 2025 (TabM-mini), with piecewise linear embeddings (Gorishniy et al. 2022)",
    use="as tabm, with fewer weights",
)

CNN = LearnerInfo(
    name="cnn",
    target="onnxlearn_models.vision.cnn:CNN",
    summary="small convolutional network for small images, with columns of a table beside them",
    use="images of 8 to 64 pixels a side, without weights of others",
    source="Simonyan and Zisserman 2015 (VGG), Ioffe and Szegedy 2015, Lin et al. 2014",
    kinds=("image", *_TABLE),
    needs_kind="image",
)

RESNET = LearnerInfo(
    name="resnet",
    target="onnxlearn_models.vision.resnet:ResNet",
    summary="residual network for small images, of any depth, with columns of a table beside them",
    use="small images, and some thousand of them",
    source="He et al. 2016 (section 4.2)",
    kinds=("image", *_TABLE),
    needs_kind="image",
)

BACKBONE = LearnerInfo(
    name="backbone",
    target="onnxlearn_models.vision.backbone:BackboneLearner",
    summary="a network for images by name, of ours, torchvision, timm or EfficientNet-Lite, with a new head",
    use="fine-tuning of weights that others trained; few images, or large ones",
    source="He et al. 2016 (ResNet); torchvision, timm; Tan and Le 2019",
    kinds=("image", *_TABLE),
    needs_kind="image",
)

MULTIMODAL = LearnerInfo(
    name="multimodal",
    target="onnxlearn_models.multimodal:Multimodal",
    summary="an encoder for each kind of column, joined late: images, texts, numbers and categories",
    use="tasks with columns of several kinds",
    source="the late fusion of AutoMM (Tang et al. 2024)",
    kinds=("image", "text", *_TABLE),
)
