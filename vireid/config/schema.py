"""Every option with its unit and where its default comes from.

No option defaults to ``None`` (yacs would stop checking its type); "not set" is an empty string,
an empty list or zero, and says so here.
"""

from yacs.config import CfgNode

# Defaults marked [field] are what most published code of the field uses (AGW, CAJ, HcTri, MPANet);
# those marked [ours] are choices of this project. None of them is claimed to be a paper's.


def default_config() -> CfgNode:
    """A fresh, unfrozen node that holds every option."""
    return CfgNode(
        {
            "DATA": _data(),
            "INPUT": _input(),
            "SAMPLER": {
                "IDENTITIES": 8,  # P: identities in a batch, over all processes [field]
                "IMAGES": 4,  # K: images per identity and modality [field]
            },
            "MODEL": _model(),
            "TEACHER": {  # a trained, frozen network that teaches this one (VRKD)
                # Checkpoint or run folder, {SEED} and {TRIAL} standing for this run's. Empty: none
                "WEIGHTS": "",
                # Config file that describes it; empty: what the checkpoint says of itself
                "CONFIG": "",
                # joint_fc (its deepest classifier) | mean_branch_logits | mean_branch_prob (of
                # MODEL.DIRECTIONAL): whose posterior the student is to have [ours]
                "POSTERIOR": "joint_fc",
            },
            "DISTILL": {  # divergence of the student's posterior from the teacher's
                "TEMPERATURE": 4.0,  # of both posteriors [ours]
                "WEIGHT": 1.0,  # λ [the value at which the paper varies the temperature]
                "SCALE_T2": True,  # × TEMPERATURE² [ours]; see MODEL.SDM.SCALE_T2
            },
            "LOSS": _loss(),
            "SOLVER": _solver(),
            "TEST": _test(),
            "PRECISION": "auto",  # auto | fp32 | bf16 | fp16 (CUDA only)
            "COMPILE": False,  # torch.compile; falls back to eager where no compiler is
            # Processor threads of torch's operations; 0: torch's choice. A small network trains
            # faster on one: more wait for one another. Moves the last digits of results.
            "THREADS": 0,
            "DEVICE": "auto",  # auto | cpu | cuda | cuda:N
            "SEED": 0,
            "OUTPUT_DIR": "",  # empty: runs/<config stem>[/split<t>]/seed<k>
        }
    )


def _data() -> dict:
    return {
        "DATASET": "sysu",
        # Folder of the data set (csv: or a CSV file); VIREID_DATA in the environment overrides the
        # file's
        "ROOT": "",
        "TRIAL": 1,  # RegDB: which of its ten train/test splits
        # train+val: every training identity trains. train: validation identities are held out
        # (SYSU: its val_id.txt; CSV: its val rows; else every fifth identity). Empty: the data
        # set's usual.
        "SPLIT": "",
        "WORKERS": 4,  # loader processes at most; 0 reads in the main process; changes no result
        # Folder for decoded and resized images, memory-mapped; changes no result. SYSU-MM01's
        # training images at 288 × 144 take 4.3 GB. Empty: none.
        "CACHE": "",
        "SYNTHETIC": {  # used when ENABLED and ROOT is empty: rendered once, under datasets/
            "ENABLED": False,
            "TRAIN_IDS": 60,  # training and validation identities together
            "TEST_IDS": 20,
            "IMAGES_PER_CAMERA": 6,
            "SIZE": [128, 64],  # [height, width] of the rendered images, pixels
            "SEED": 0,
        },
    }


def _input() -> dict:
    return {
        "SIZE": [288, 144],  # [height, width], pixels [field: AGW, CAJ, HcTri]
        "PAD": 10,  # pixels of padding before the random crop, at both sides [field]
        "FLIP": 0.5,  # probability of a horizontal flip [field]
        "ERASE": 0.5,  # probability of random erasing [field: CAJ, DEEN, MPANet]
        "ERASE_AREA": [0.02, 0.4],  # share of the image that is erased [field]
        "GRAYSCALE": 0.0,  # probability of a grey visible image [DEEN: 0.5]
        # Probability that a visible image shows one of its colour channels, drawn at random, in all
        # three [CAJ: always, in the second view]
        "CHANNEL_EXCHANGE": 0.0,
        # Every visible image comes a second time with its channels exchanged, so that a batch has
        # P × 3K images [CAJ]
        "SECOND_VISIBLE": False,
        "INFRARED": {  # where infrared images are treated in another way than visible ones
            "ERASE": -1.0,  # probability of random erasing; negative: as INPUT.ERASE
            "CHANNEL_EXCHANGE": 0.0,  # for false-colour files [CAJ: 0.5]
        },
        "MEAN": [0.485, 0.456, 0.406],  # of the data that OSNet's published weights saw
        "STD": [0.229, 0.224, 0.225],
    }


def _model() -> dict:
    return {
        "BACKBONE": "osnet_x1_0",
        "PRETRAINED": "imagenet",  # path | imagenet | none
        # Stages shared by both streams, counted from the deepest: 5 one stream, 0 two backbones.
        "SHARED_DEPTH": 3,  # [ours; equals HcTri's share_net 2]
        "POOL": "gem",  # gem | avg | max; of the global head and of the students
        "GEM_P": 3.0,  # initial exponent; learnt [field: AGW]
        # Of BatchNorm in layers that both streams share: joint over both modalities, or each
        # modality's own (dual), with one scale and shift
        "NORM_STATISTICS": "joint",  # joint [field: AGW] | dual
        "BN_EVAL": False,  # keep every BatchNorm at its running statistics while training
        "SYNC_BN": False,  # BatchNorm statistics over all processes; CUDA only
        "DIRECTIONAL": _directional(),
        "SDM": _sdm(),
        "MGIM": _mgim(),
    }


def _directional() -> dict:
    """Branches that average a square map along one direction each, instead of ``MODEL.POOL``."""
    return {
        "ENABLED": False,
        # One branch each: horizontal | vertical | diagonal | antidiagonal | global (everything: the
        # control of equal size) [QD-DLF: the first four]
        "DIRECTIONS": ["horizontal", "vertical", "diagonal", "antidiagonal"],
        "MODE": "linear",  # linear (2n − 1 diagonals) | wrap (n, round the edge) [ours]
        "SPATIAL_NORM": "branch",  # branch | channel | none: what is brought to unit length [ours]
        "BACKBONES": "separate",  # separate (one per branch) | shared [ours]
    }


def _sdm() -> dict:
    """Self-distillation: shallow heads learn from the deepest one. docs/method.md says why."""
    return {
        "ENABLED": True,
        "TAPS": ["conv2", "conv3", "conv4"],  # of conv1 … conv4: where shallow1, … stand [ours]
        "HEAD": "light",  # light | pool_proj | byot | sepconv
        "TEMPERATURE": 3.0,  # of both posteriors [BYOT]
        "ALPHA": 0.3,  # share of the divergence; 1 − ALPHA is the labels' [BYOT]
        "BETA": 0.1,  # weight of the feature hint [ours]
        "SCALE_T2": True,  # divergence × TEMPERATURE², so that the sweep is not one of weights
        "TEACHER": "global",  # global | global+parts (mean logits) | ensemble (of all exits)
        "DETACH_TEACHER": True,  # students send no gradient into their teacher [BYOT]
        "HINT": "l2_norm",  # l2_norm (unit vectors) | mse_raw | none
        "WEIGHTS": [1.0, 1.0, 1.0],  # of each student's three terms
    }


def _mgim() -> dict:
    """Part features at several granularities, and relations between the parts."""
    return {
        "ENABLED": True,
        "GRANULARITIES": [2, 3, 6],  # stripes; must divide the map's rows, 18 at 288 [ours]
        "ALLOW_OVERLAP": False,  # let stripes share a row where a granularity does not divide
        "DIM": 256,  # length of a part's vector [field: PCB, MGN, RRID]
        "POOL": "gem",  # gem | avg | max
        "GEM_P": 3.0,  # initial exponent; learnt
        "RELATION": "one_vs_rest",  # one_vs_rest | attention | graph | none
        "SCOPE": "within",  # within (a granularity) | all (parts are related)
        "REDUCE_SHARING": "granularity",  # all | granularity | part: what shares weights
        "RELATION_SHARING": "all",  # all | granularity
        # Batch normalisation without parameters between the parts and their classifiers; its output
        # is what retrieval compares
        "BNNECK": True,
        "CLASSIFIER": "part",  # part | granularity: what has a classifier of its own
    }


def _loss() -> dict:
    return {
        "IDENTITY": {"WEIGHT": 1.0, "LABEL_SMOOTHING": 0.1},  # [field: BoT]
        "TRIPLET": {"WEIGHT": 1.0, "MARGIN": 0.3},  # batch-hard over both modalities [field]
        "WEIGHTED_TRIPLET": {"WEIGHT": 0.0},  # AGW's weighted regularisation, no margin
        "HETERO_CENTER": {"WEIGHT": 0.0, "MARGIN": 0.3},  # HcTri
        # Of MODEL.MGIM: classification of the parts, over all of them; with IDENTITY's smoothing
        "PART_IDENTITY": {"WEIGHT": 1.0, "REDUCTION": "mean"},  # mean | sum [HcTri sums]
        # A metric loss on each granularity's parts side by side, mean over granularities
        "PART_TRIPLET": {
            "WEIGHT": 1.0,
            "KIND": "batch_hard",  # batch_hard | weighted (AGW's, no margin)
            "MARGIN": 0.3,
        },
        "SDM": {"WEIGHT": 1.0},  # of all terms of MODEL.SDM together
        # Of MODEL.DIRECTIONAL: the branches' own classifiers, sum over them; IDENTITY's smoothing
        "BRANCH_IDENTITY": {"WEIGHT": 1.0},
    }


def _solver() -> dict:
    return {
        "EPOCHS": 120,
        "BASE_LR": 3.5e-4,  # [field: AGW's and MPANet's Adam]
        "BACKBONE_LR_FACTOR": 1.0,  # backbone's learning rate over BASE_LR
        # Learning rate of the stages that each stream has for itself over the backbone's [ours]:
        # from random weights at a high rate, two stems drift apart before anything holds them
        "SPECIFIC_LR_FACTOR": 1.0,
        "OPTIMIZER": "adam",  # adam | adamw | sgd
        "WEIGHT_DECAY": 5e-4,  # [field]
        # Longest gradient, over all parameters; longer ones are shortened to it. 0: none
        "CLIP_NORM": 0.0,
        "MOMENTUM": 0.9,  # sgd only, with Nesterov's rule [field]
        "SCHEDULE": "step",  # step | cosine
        "STEPS": [60, 90],  # epochs after which a step schedule multiplies by GAMMA
        "GAMMA": 0.1,
        "WARMUP_EPOCHS": 10,  # linear [field]
        "WARMUP_FACTOR": 0.1,  # where the warm-up starts, over BASE_LR
        "MIN_LR_FACTOR": 0.01,  # where cosine ends, over BASE_LR
        "SELECT": "last",  # last | best (by validation mAP; needs DATA.SPLIT train)
        "VAL_EVERY": 0,  # epochs between validations; 0: none
        # Write the norm of each term's gradient in the backbone, at the first step of every epoch,
        # into metrics.csv; of the global batch on several processes; changes no result
        "GRADIENT_NORMS": False,
        "CHECKPOINT_EVERY": 0,  # epochs between checkpoints that are kept beside last.pth; 0: none
    }


def _test() -> dict:
    return {
        "PROTOCOLS": [],  # names or groups; empty: all of the data set's
        "METRIC": "auto",  # auto (the protocol's own) | cosine | euclidean
        "GALLERY_DRAW": "auto",  # auto (the protocol's own) | official | seeded
        "RERANK": False,  # score k-reciprocal re-ranking too, beside the plain scores
        "BATCH": 64,  # images
        "FLIP": False,  # average the features of an image and of its mirror image
        "EXIT": "deep",  # deep | shallow1 | shallow2 | shallow3: whose features are scored
        # Exit of the gallery's images where it is another one than the queries'; empty: the same
        "GALLERY_EXIT": "",
        # What computes features in evaluate and extract: torch | onnxruntime | openvino | auto
        # (the fastest for many images, without a GPU); same scores to a thousandth
        "BACKEND": "torch",
        # global | parts | global+parts; students, and networks without MGIM, have the global one
        "EMBED": "global+parts",
    }
