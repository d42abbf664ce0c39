"""What each option may be, by itself."""

from collections.abc import Callable
from typing import Any

EXITS = ("deep", "shallow1", "shallow2", "shallow3")
CHOICES = {
    "DATA.SPLIT": ("", "train+val", "train"),
    "LOSS.PART_IDENTITY.REDUCTION": ("mean", "sum"),
    "LOSS.PART_TRIPLET.KIND": ("batch_hard", "weighted"),
    "MODEL.DIRECTIONAL.BACKBONES": ("separate", "shared"),
    "MODEL.DIRECTIONAL.DIRECTIONS": (
        "horizontal",
        "vertical",
        "diagonal",
        "antidiagonal",
        "global",
    ),
    "MODEL.DIRECTIONAL.MODE": ("linear", "wrap"),
    "MODEL.DIRECTIONAL.SPATIAL_NORM": ("branch", "channel", "none"),
    "MODEL.MGIM.CLASSIFIER": ("part", "granularity"),
    "MODEL.MGIM.POOL": ("gem", "avg", "max"),
    "MODEL.MGIM.REDUCE_SHARING": ("all", "granularity", "part"),
    "MODEL.MGIM.RELATION": ("one_vs_rest", "attention", "graph", "none"),
    "MODEL.MGIM.RELATION_SHARING": ("all", "granularity"),
    "MODEL.MGIM.SCOPE": ("within", "all"),
    "MODEL.NORM_STATISTICS": ("joint", "dual"),
    "MODEL.POOL": ("gem", "avg", "max"),
    "MODEL.SDM.HEAD": ("light", "pool_proj", "byot", "sepconv"),
    "MODEL.SDM.HINT": ("l2_norm", "mse_raw", "none"),
    "MODEL.SDM.TAPS": ("conv1", "conv2", "conv3", "conv4"),
    "MODEL.SDM.TEACHER": ("global", "global+parts", "ensemble"),
    "SOLVER.OPTIMIZER": ("adam", "adamw", "sgd"),
    "SOLVER.SCHEDULE": ("step", "cosine"),
    "SOLVER.SELECT": ("last", "best"),
    "TEACHER.POSTERIOR": ("joint_fc", "mean_branch_logits", "mean_branch_prob"),
    "TEST.METRIC": ("auto", "cosine", "euclidean"),
    "TEST.BACKEND": ("torch", "onnxruntime", "openvino", "auto"),
    "TEST.EMBED": ("global", "parts", "global+parts"),
    "TEST.EXIT": EXITS,
    "TEST.GALLERY_EXIT": ("", *EXITS),
    "TEST.GALLERY_DRAW": ("auto", "official", "seeded"),
    "PRECISION": ("auto", "fp32", "bf16", "fp16"),
}
POSITIVE = "must be greater than 0"
NOT_NEGATIVE = "must not be negative"
SHARE = "must lie between 0 and 1"
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{
        key: (lambda v: v > 0, POSITIVE)
        for key in (
            "DATA.SYNTHETIC.TRAIN_IDS",
            "DATA.SYNTHETIC.TEST_IDS",
            "DATA.SYNTHETIC.IMAGES_PER_CAMERA",
            "DISTILL.TEMPERATURE",
            "MODEL.GEM_P",
            "MODEL.MGIM.GEM_P",
            "MODEL.SDM.TEMPERATURE",
            "SAMPLER.IDENTITIES",
            "SAMPLER.IMAGES",
            "SOLVER.EPOCHS",
            "SOLVER.BASE_LR",
            "SOLVER.GAMMA",
            "TEST.BATCH",
        )
    },
    **{
        key: (lambda v: v >= 0, NOT_NEGATIVE)
        for key in (
            "DATA.SYNTHETIC.SEED",
            "DATA.WORKERS",
            "DISTILL.WEIGHT",
            "INPUT.PAD",
            "LOSS.BRANCH_IDENTITY.WEIGHT",
            "LOSS.HETERO_CENTER.MARGIN",
            "LOSS.HETERO_CENTER.WEIGHT",
            "LOSS.IDENTITY.WEIGHT",
            "LOSS.PART_IDENTITY.WEIGHT",
            "LOSS.PART_TRIPLET.MARGIN",
            "LOSS.PART_TRIPLET.WEIGHT",
            "LOSS.SDM.WEIGHT",
            "LOSS.TRIPLET.MARGIN",
            "LOSS.TRIPLET.WEIGHT",
            "LOSS.WEIGHTED_TRIPLET.WEIGHT",
            "MODEL.SDM.BETA",
            "SOLVER.BACKBONE_LR_FACTOR",
            "SOLVER.CHECKPOINT_EVERY",
            "THREADS",
            "SOLVER.CLIP_NORM",
            "SOLVER.MOMENTUM",
            "SOLVER.SPECIFIC_LR_FACTOR",
            "SOLVER.VAL_EVERY",
            "SOLVER.WARMUP_EPOCHS",
            "SOLVER.WEIGHT_DECAY",
        )
    },
    **{
        key: (lambda v: 0 <= v <= 1, SHARE)
        for key in (
            "INPUT.CHANNEL_EXCHANGE",
            "INPUT.ERASE",
            "INPUT.FLIP",
            "INPUT.GRAYSCALE",
            "INPUT.INFRARED.CHANNEL_EXCHANGE",
            "LOSS.IDENTITY.LABEL_SMOOTHING",
            "MODEL.SDM.ALPHA",
            "SOLVER.MIN_LR_FACTOR",
            "SOLVER.WARMUP_FACTOR",
        )
    },
    "INPUT.INFRARED.ERASE": (lambda v: v <= 1, "must be at most 1; negative: as INPUT.ERASE"),
    "SEED": (lambda v: 0 <= v < 2**32, "must be 0 to 4294967295, as numpy wants it"),
    "DATA.TRIAL": (lambda v: 1 <= v <= 10, "must be one of the splits 1 to 10"),
    "MODEL.MGIM.DIM": (lambda v: v >= 2, "must be at least 2"),  # attention halves it
    "MODEL.SHARED_DEPTH": (
        lambda v: 0 <= v <= 5,
        "must be 0 (two backbones) to 5 (one stream): stages shared, counted from the deepest",
    ),
}
MIN_SIDE = 32  # pixels: OSNet's stride is 16, and a map of one row or column has nothing to pool
# Options that name a file or a folder.
PATHS = (
    "DATA.CACHE",
    "DATA.ROOT",
    "MODEL.PRETRAINED",
    "OUTPUT_DIR",
    "TEACHER.CONFIG",
    "TEACHER.WEIGHTS",
)
