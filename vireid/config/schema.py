"""Every option: its default, what it may be, what a change of it changes, and what it means.

Add an option here and read it in the ``build.py`` that needs it: the check of its values, the page
docs/configuration.md, what may differ on resume and the names of results follow from the table.

No option defaults to ``None`` (its type would be unknown); "not set" is an empty text, an empty
list or zero, and the help says so.
"""

from __future__ import annotations

from yacs.config import CfgNode

from vireid.config.option import Effect, Option, nested
from vireid.config.rules import (
    ANGLE,
    ANY,
    AREA,
    ASCENDING,
    AT_LEAST_2,
    BELOW_ROOT,
    COLOUR,
    DECAY,
    DEPTH,
    INFRARED_JITTER,
    JITTER,
    MEAN,
    NOT_NEGATIVE,
    PATH,
    PATTERN,
    POSITIVE,
    RANGE,
    SEEDS,
    SEVERITY,
    SHARE,
    SHARE_OR_NEGATIVE,
    SIZE,
    STD,
    STRIPES,
    TRIALS,
    WEIGHTS,
)
from vireid.config.values import WordOrNumbers

LAYERS, POOLING, STUDENTS, START, EPOCH, TRAINING, DATA, FEATURES, SCORES, ROUNDING, NOTHING = (
    Effect
)


TABLE: tuple[str, ...] = ()  # names of the table that implements the option: runs/options.py
CORRUPTED_SIDES = ("visible", "infrared", "both")
EXITS = ("deep", "shallow1", "shallow2", "shallow3")
WEIGHT_NAMES = ("imagenet", "none")

# fmt: off
OPTIONS: dict[str, Option] = {
    "DATA.DATASET": Option("sysu", TABLE, DATA,
        "Data set to train and score on. docs/datasets.md says what each one needs"),
    "DATA.ROOT": Option("", PATH, NOTHING,
        "Folder of the data set (for `csv`: that folder or its CSV file). The environment variable"
        " `VIREID_DATA` overrides the value of the config file"),
    "DATA.TRIAL": Option(1, TRIALS, DATA, "RegDB only: number of the train/test split"),
    "DATA.SPLIT": Option("", ("", "train+val", "train"), DATA,
        "`train+val`: train on all training identities. `train`: hold out validation identities "
        "(SYSU: those of val_id.txt; CSV: the rows of `val`; other data sets: every fifth training"
        " identity). Empty: the data set's usual choice"),
    "DATA.VAL_IDS": Option("", BELOW_ROOT, DATA,
        "Text file, relative to `ROOT`, with one training identity per line: those that `SPLIT "
        "train` holds out, instead of the usual ones. Empty: the usual ones", in_names=False),
    # in_names: lists of the images that were scored or extracted distinguish their values
    "DATA.TEST_SHARE": Option(0.5, SHARE, DATA,
        "`folder` only: share of the identities used for testing when there are no `train` and "
        "`test` folders. 1: all",
        in_names=False),
    "DATA.SPLIT_SEED": Option(0, SEEDS, DATA,
        "`folder` only: seed of the random choice of test identities", in_names=False),
    "DATA.CAMERA_PATTERN": Option("", PATTERN, DATA,
        "`folder` only: regular expression with one group, which is the camera's name. It is "
        "searched in the file names. If one file name does not match, it is searched in the paths "
        "below `ROOT` instead. Empty: one camera per modality", in_names=False),
    "DATA.AUXILIARY": Option(False, ANY, DATA,
        "`bupt` only: train on the identities of train_auxiliary.txt, too, each of which only one "
        "camera saw", in_names=False),
    "DATA.FRAMES": Option(6, NOT_NEGATIVE, FEATURES,
        "Frames of a track that make its feature, evenly spaced; their unit features are averaged."
        " 0: all frames. For sets of tracks (`vcm`, `bupt`) [ours]"),
    "DATA.WORKERS": Option(4, NOT_NEGATIVE, NOTHING,
        "Largest number of processes that load images, for each training process. 0: the training "
        "process loads them"),
    "DATA.TIMEOUT": Option(600.0, NOT_NEGATIVE, NOTHING,
        "Seconds to wait for a batch before the tool ends with an error. 0: no limit"),
    "DATA.CACHE": Option("", PATH, NOTHING,
        "Folder in which decoded and resized images are kept (memory-mapped). SYSU-MM01's training"
        " images at 288 × 144 take 4.3 GB. Empty: no cache"),
    # in_names: rendered sets have different fingerprints
    "DATA.SYNTHETIC.ENABLED": Option(False, ANY, DATA,
        "Render a synthetic data set", in_names=False),
    "DATA.SYNTHETIC.TRAIN_IDS": Option(60, POSITIVE, DATA,
        "Number of training and validation identities together", in_names=False),
    "DATA.SYNTHETIC.TEST_IDS": Option(20, POSITIVE, DATA,
        "Number of test identities", in_names=False),
    "DATA.SYNTHETIC.IMAGES_PER_CAMERA": Option(6, POSITIVE, DATA,
        "Images of each identity by each camera; in the layouts of `vcm` (12 or more) and `bupt`, "
        "frames of a track, up to half more", in_names=False),
    "DATA.SYNTHETIC.SIZE": Option([128, 64], SIZE, DATA, "Size of the rendered images in pixels",
        in_names=False),
    "DATA.SYNTHETIC.SEED": Option(0, NOT_NEGATIVE, DATA, "Seed of the rendering", in_names=False),

    "INPUT.SIZE": Option([288, 144], SIZE, FEATURES,
        "Size that images are resized to, in pixels [field: AGW, CAJ, HcTri]", costs=True),
    "INPUT.PAD": Option(10, NOT_NEGATIVE, TRAINING,
        "Pixels added on each side before the random crop [field]"),
    "INPUT.FLIP": Option(0.5, SHARE, TRAINING, "Probability of a horizontal flip [field]"),
    "INPUT.ERASE": Option(0.5, SHARE, TRAINING,
        "Probability of random erasing [field: CAJ, DEEN, MPANet]"),
    "INPUT.ERASE_AREA": Option([0.02, 0.4], AREA, TRAINING,
        "Share of the image that random erasing covers [field]"),
    "INPUT.CHANNEL_ERASE": Option(0.0, SHARE, TRAINING,
        "Probability of a second random erasing. Its rectangle, of `ERASE_AREA`, takes a random "
        "value in each channel [ours; CAJ's code takes the channels' means, as `ERASE` does]. In "
        "infrared images and in `GREY_EPOCHS` all channels take one value"),
    "INPUT.SCALE": Option(0.0, SHARE, TRAINING,
        "Smallest share of the area that a random resized crop keeps, such as 0.6. 0 or 1: no such"
        " crop"),
    "INPUT.ROTATE": Option(0.0, ANGLE, TRAINING,
        "Largest angle of a random rotation in either direction, in degrees. 0: none"),
    "INPUT.JITTER": Option([0.0], JITTER, TRAINING,
        "Strength of random changes of brightness, contrast, saturation and hue, in this order; "
        "those left out do not change. One number: of all but the hue. Infrared images change in "
        "brightness and contrast [PMT: 0.3 of both, infrared images]"),
    "INPUT.GRAYSCALE": Option(0.0, SHARE, TRAINING,
        "Probability that a visible image becomes grey [DEEN: 0.5]"),
    "INPUT.INVERT": Option(0.0, SHARE, TRAINING,
        "Probability that an image becomes its negative. What is bright in a visible image can be "
        "dark in a thermal one [ours]"),
    "INPUT.GREY_EPOCHS": Option(0, NOT_NEGATIVE, TRAINING,
        "Number of first epochs in which every visible image is grey [PMT: 6]"),
    "INPUT.CHANNEL_MIX": Option(0.0, SHARE, TRAINING,
        "Probability that a visible image becomes grey by a random mean of its channels, whose "
        "weights are Beta(1/2, 1/2), divided by their sum [RLE: 0.5]"),
    "INPUT.CHANNEL_EXCHANGE": Option(0.0, SHARE, TRAINING,
        "Probability that one colour channel of a visible image, chosen at random, replaces all "
        "three [CAJ: always, in the second view]"),
    "INPUT.SECOND_VISIBLE": Option(False, ANY, TRAINING,
        "Add a second copy of every visible image, with exchanged channels. A batch then has P × "
        "3K images [CAJ]"),
    "INPUT.CORRUPT": Option(0.0, SHARE, TRAINING,
        "Probability that a visible image is corrupted by one of 20 kinds, after it was resized. "
        "A test with corruptions then shows kinds that training showed, too (docs/corruption.md)"),
    "INPUT.BACKGROUND": Option([128, 128, 128], COLOUR, FEATURES,
        "RGB colour behind transparent pixels. The default is mid-grey, which normalisation turns "
        "into values near zero"),
    "INPUT.VISIBLE.RANGE": Option(WordOrNumbers("auto"), RANGE, FEATURES,
        "For visible images of more than eight bits: the values that become black and white. "
        "`auto`: found from the training images and stored in the run. `percentile`: the 1st and "
        "99th percentile of each image. See docs/datasets.md"),
    "INPUT.INFRARED.RANGE": Option(WordOrNumbers("auto"), RANGE, FEATURES,
        "The same for infrared images"),
    "INPUT.INFRARED.ERASE": Option(-1.0, SHARE_OR_NEGATIVE, TRAINING,
        "Probability of random erasing for infrared images. Negative: the value of `INPUT.ERASE`"),
    "INPUT.INFRARED.INVERT": Option(-1.0, SHARE_OR_NEGATIVE, TRAINING,
        "`INPUT.INVERT` for infrared images. Negative: the value of `INPUT.INVERT`"),
    "INPUT.INFRARED.JITTER": Option([-1.0], INFRARED_JITTER, TRAINING,
        "`INPUT.JITTER` for infrared images: of brightness and contrast. -1: the values of "
        "`INPUT.JITTER`"),
    "INPUT.INFRARED.CHANNEL_EXCHANGE": Option(0.0, SHARE, TRAINING,
        "`INPUT.CHANNEL_EXCHANGE` for infrared images that are stored in false colours [CAJ: 0.5]"),
    "INPUT.INFRARED.CORRUPT": Option(0.0, SHARE, TRAINING,
        "`INPUT.CORRUPT` for infrared images, without the kind `saturate`"),
    "INPUT.MEAN": Option([0.485, 0.456, 0.406], MEAN, FEATURES,
        "Mean of each channel in the data that OSNet's published weights were trained on"),
    "INPUT.STD": Option([0.229, 0.224, 0.225], STD, FEATURES,
        "Standard deviation of each channel in the same data"),

    "SAMPLER.IDENTITIES": Option(8, POSITIVE, EPOCH,
        "P: identities in a batch, over all processes [field]"),
    "SAMPLER.IMAGES": Option(4, POSITIVE, EPOCH,
        "K: images, or tracks, per identity and modality [field]"),
    "SAMPLER.FRAMES": Option(1, POSITIVE, EPOCH,
        "Frames of each track in a batch, for sets of tracks. 1: one random frame. N: one random "
        "frame of each of N equal parts of the track; the model's outputs are averaged over them, "
        "and the losses see one row per track [ours]"),

    "MODEL.BACKBONE": Option("osnet_x1_0", TABLE, LAYERS,
        "Network that turns an image into feature maps"),
    "MODEL.PRETRAINED": Option("imagenet", WEIGHTS, START,
        "Weights to start from: `imagenet`, `none`, or a path. The path names a weight file, a run"
        " folder, a run's checkpoint, or a model folder made by `export`. docs/finetuning.md says "
        "what is loaded"),
    "MODEL.SHARED_DEPTH": Option(3, DEPTH, LAYERS,
        "Number of stages that both streams share, counted from the deepest [ours; equals HcTri's "
        "share_net 2]"),
    "MODEL.POOL": Option("gem", TABLE, POOLING,
        "Pooling of the global head and of the student heads"),
    "MODEL.GEM_P": Option(3.0, POSITIVE, START,
        "Initial exponent of GeM pooling; it is learnt [field: AGW]"),
    "MODEL.NORM_STATISTICS": Option("joint", ("joint", "dual", "separate"), LAYERS,
        "BatchNorm statistics in shared layers. `joint`: over both modalities [field: AGW]. "
        "`dual`: separate for each modality, with one common scale and shift. `separate`: each "
        "modality also has its own scale and shift"),
    "MODEL.BN_EVAL": Option(False, ANY, TRAINING,
        "In training, normalise by BatchNorm's stored statistics instead of the batch's, and leave"
        " the stored ones unchanged"),
    "MODEL.BN_EVAL_SCOPE": Option("all", ("all", "backbone"), TRAINING,
        "BatchNorm layers that `MODEL.BN_EVAL` applies to. `backbone`: the heads still use the "
        "batch's statistics, which suits fine-tuning on few identities (docs/finetuning.md)"),
    "MODEL.SYNC_BN": Option(False, ANY, TRAINING,
        "Compute BatchNorm statistics over all processes; needs CUDA"),
    "MODEL.DIRECTIONAL.ENABLED": Option(False, ANY, LAYERS, "Use directional pooling"),
    "MODEL.DIRECTIONAL.DIRECTIONS": Option(["horizontal", "vertical", "diagonal", "antidiagonal"],
        TABLE, POOLING,
        "One branch for each direction. `global` averages all positions and serves as a control of"
        " equal size [QD-DLF: the first four]"),
    "MODEL.DIRECTIONAL.MODE": Option("linear", TABLE, LAYERS,
        "Diagonals of an n × n map. `linear`: 2n − 1 diagonals. `wrap`: n diagonals, which "
        "continue at the opposite edge [ours]"),
    "MODEL.DIRECTIONAL.SPATIAL_NORM": Option("branch", TABLE, POOLING,
        "What is scaled to unit length: the vector of a whole `branch`, the values of each "
        "`channel`, or nothing (`none`) [ours]"),
    "MODEL.DIRECTIONAL.BACKBONES": Option("separate", ("separate", "shared"), LAYERS,
        "`separate`: one backbone for each branch. `shared`: one for all [ours]"),
    "MODEL.SDM.ENABLED": Option(True, ANY, STUDENTS, "Add the student heads and their losses"),
    "MODEL.SDM.TAPS": Option(["conv2", "conv3", "conv4"], TABLE, STUDENTS,
        "Stages whose outputs feed the student heads shallow1, shallow2, …; at most three [ours]"),
    "MODEL.SDM.HEAD": Option("light", TABLE, STUDENTS, "Layers of a student head"),
    "MODEL.SDM.TEMPERATURE": Option(3.0, POSITIVE, EPOCH,
        "Temperature of teacher's and student's class probabilities [BYOT]"),
    "MODEL.SDM.ALPHA": Option(0.3, SHARE, EPOCH,
        "Weight of the divergence from the teacher; the loss on the labels has the weight 1 − "
        "`ALPHA` [BYOT]"),
    "MODEL.SDM.BETA": Option(0.5, NOT_NEGATIVE, EPOCH,
        "Weight of the hint: the distance between the vectors of student and teacher [ours]"),
    "MODEL.SDM.SCALE_T2": Option(True, ANY, EPOCH,
        "Multiply the divergence by `TEMPERATURE`², so that gradients keep their size when the "
        "temperature changes"),
    "MODEL.SDM.TEACHER": Option("global", TABLE, EPOCH,
        "Logits that the student heads learn from: those of the deepest classifier (`global`), the"
        " mean of these and the parts' (`global+parts`), the mean over all exits (`ensemble`), or "
        "those of the deepest classifier of the model that `SOLVER.EMA` averages (`ema`); the hint "
        "uses that model's vector, too"),
    "MODEL.SDM.DETACH_TEACHER": Option(True, ANY, EPOCH,
        "Stop the gradient from student heads to their teacher [BYOT]. `TEACHER ema` has none "
        "anyway"),
    "MODEL.SDM.HINT": Option("feature", TABLE, EPOCH,
        "Squared distance used by the hint. `feature`: between features (after BNNeck) of unit "
        "length, which search compares, also across exits [ours]. `l2_norm`: between embeddings "
        "(before BNNeck) of unit length. `mse_raw`: between embeddings as they are [BYOT]. "
        "`none`: no hint"),
    "MODEL.SDM.WEIGHTS": Option([1.0, 1.0, 1.0], ANY, EPOCH,
        "Weight of each student head; it multiplies all three of its terms"),
    "MODEL.MGIM.ENABLED": Option(True, ANY, LAYERS, "Add the part features and their losses"),
    "MODEL.MGIM.GRANULARITIES": Option([2, 3, 6], STRIPES, LAYERS,
        "Numbers of horizontal stripes. Each must divide the rows of the feature map (18 rows for "
        "images of 288 pixels) [ours]"),
    "MODEL.MGIM.ALLOW_OVERLAP": Option(False, ANY, LAYERS,
        "Where a number of stripes does not divide the rows, let neighbouring stripes share a row"),
    "MODEL.MGIM.DIM": Option(256, AT_LEAST_2, LAYERS,
        "Length of a part's vector [field: PCB, MGN, RRID]"),
    "MODEL.MGIM.POOL": Option("gem", TABLE, LAYERS, "Pooling of a stripe"),
    # As MODEL.GEM_P a start, but fingerprints of exported models have contained it from the first
    "MODEL.MGIM.GEM_P": Option(3.0, POSITIVE, LAYERS,
        "Initial exponent of GeM pooling; it is learnt"),
    "MODEL.MGIM.RELATION": Option("one_vs_rest", TABLE, LAYERS, "How a part uses the other parts"),
    "MODEL.MGIM.SCOPE": Option("within", ("within", "all"), LAYERS,
        "Parts that are related to one another. `within`: those of one granularity. `all`: all of "
        "them"),
    "MODEL.MGIM.REDUCE_SHARING": Option("granularity", TABLE, LAYERS,
        "Parts that share the weights of the layer that reduces their vectors to `DIM`"),
    "MODEL.MGIM.RELATION_SHARING": Option("all", ("all", "granularity"), LAYERS,
        "Parts that share the weights of their relation"),
    "MODEL.MGIM.BNNECK": Option(True, ANY, LAYERS,
        "Apply BatchNorm without learnt parameters to the part vectors before their classifiers. "
        "Retrieval compares its output"),
    "MODEL.MGIM.CLASSIFIER": Option("part", ("part", "granularity"), LAYERS,
        "One classifier for each part, or one for each granularity"),

    "TEACHER.WEIGHTS": Option("", PATH, TRAINING,
        "Checkpoint or run folder of the teacher. `{SEED}` and `{TRIAL}` in the path become those "
        "of this run. Empty: no teacher"),
    "TEACHER.CONFIG": Option("", PATH, EPOCH,
        "Config file of the teacher. Empty: the configuration in its checkpoint"),
    "TEACHER.POSTERIOR": Option("joint_fc", TABLE, EPOCH,
        "Class probabilities that the student learns. `joint_fc`: of the deepest classifier. "
        "`mean_branch_logits`, `mean_branch_prob`: of the branches of `MODEL.DIRECTIONAL`, by the "
        "mean of their logits or of their probabilities [ours]"),
    "DISTILL.TEMPERATURE": Option(4.0, POSITIVE, EPOCH,
        "Temperature of teacher's and student's class probabilities [ours]"),
    "DISTILL.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "λ, the weight of the divergence of class probabilities [the value at which the paper "
        "varies the temperature]. 0: teacher and student may have different identities"),
    "DISTILL.SCALE_T2": Option(True, ANY, EPOCH,
        "Multiply by `TEMPERATURE`² [ours]; see `MODEL.SDM.SCALE_T2`"),
    "DISTILL.FEATURE_WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Weight of the squared distance between the teacher's feature and a learnt projection of "
        "the student's, both of unit length [FitNets]"),
    "DISTILL.RELATION_WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Weight of the squared difference between teacher and student in the cosines of all pairs "
        "of features in a batch [similarity-preserving distillation]"),

    "LOSS.IDENTITY.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "Weight of the classification loss of the deepest head [field: BoT]"),
    "LOSS.IDENTITY.LABEL_SMOOTHING": Option(0.1, SHARE, EPOCH,
        "Share of the label that is spread over all identities [field: BoT]"),
    "LOSS.TRIPLET.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "Weight of the batch-hard triplet loss [field]"),
    "LOSS.TRIPLET.MARGIN": Option(0.3, NOT_NEGATIVE, EPOCH,
        "Margin of the batch-hard triplet loss [field]"),
    "LOSS.WEIGHTED_TRIPLET.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Weight of AGW's weighted regularisation triplet loss, which has no margin"),
    "LOSS.HETERO_CENTER.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Weight of the triplet loss between the centres of each identity and modality [HcTri]"),
    "LOSS.HETERO_CENTER.MARGIN": Option(0.3, NOT_NEGATIVE, EPOCH, "Margin of that loss [HcTri]"),
    "LOSS.CENTER_CLUSTER.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Weight of the distance of images from the centre of their identity, and of the hinge "
        "between centres [MPANet: 1]"),
    "LOSS.CENTER_CLUSTER.MARGIN": Option(0.7, NOT_NEGATIVE, EPOCH,
        "Least distance between the centres of two identities [MPANet]"),
    "LOSS.CIRCLE.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH, "Weight of the circle loss"),
    "LOSS.CIRCLE.MARGIN": Option(0.45, NOT_NEGATIVE, EPOCH,
        "Relaxation m of the best similarities, 1 and 0 [ours; Sun et al.: 0.25 for faces]"),
    "LOSS.CIRCLE.GAMMA": Option(64.0, POSITIVE, EPOCH,
        "Scale γ of the similarities [ours; Sun et al.: 256 for faces]"),
    "LOSS.CROSS_MODAL_KL.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Weight of the divergence between the class posteriors of an identity's visible and "
        "infrared images [MPANet: 2.5, between two classifiers]"),
    "LOSS.MMD.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Weight of the maximum mean discrepancy between an identity's visible and infrared "
        "embeddings [MMD-ReID: 0.25]"),
    "LOSS.MMD.MARGIN": Option(1.4, NOT_NEGATIVE, EPOCH,
        "Discrepancy that costs nothing [MMD-ReID]"),
    "LOSS.PART_IDENTITY.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "Weight of the loss over all parts"),
    "LOSS.PART_IDENTITY.REDUCTION": Option("mean", ("mean", "sum"), EPOCH,
        "How the losses of the classifiers are combined [HcTri: sum]"),
    "LOSS.PART_TRIPLET.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "Weight of the loss over all granularities"),
    "LOSS.PART_TRIPLET.KIND": Option("batch_hard", TABLE, EPOCH,
        "`batch_hard`: batch-hard triplets. `weighted`: AGW's weighted triplets, without a margin"),
    "LOSS.PART_TRIPLET.MARGIN": Option(0.3, NOT_NEGATIVE, EPOCH, "Margin of `batch_hard`"),
    "LOSS.SDM.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "Weight of all terms of `MODEL.SDM` together"),
    "LOSS.BRANCH_IDENTITY.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "Weight of the classification losses of the branches of `MODEL.DIRECTIONAL`, summed over "
        "the branches, with the label smoothing of `LOSS.IDENTITY`"),

    "SOLVER.EPOCHS": Option(120, POSITIVE, TRAINING, "Number of epochs"),
    "SOLVER.FREEZE_EPOCHS": Option(0, NOT_NEGATIVE, TRAINING,
        "Number of first epochs that train only the parameters that `MODEL.PRETRAINED` did not "
        "load. All other parameters and their BatchNorm statistics stay unchanged. 0: none. "
        "`SOLVER.EPOCHS` or more: the whole training"),
    "SOLVER.BASE_LR": Option(3.5e-4, POSITIVE, TRAINING,
        "Learning rate after the warm-up [field: AGW's and MPANet's Adam]"),
    "SOLVER.BACKBONE_LR_FACTOR": Option(1.0, NOT_NEGATIVE, TRAINING,
        "Learning rate of the backbone divided by `BASE_LR`"),
    "SOLVER.SPECIFIC_LR_FACTOR": Option(1.0, NOT_NEGATIVE, TRAINING,
        "Learning rate of the stages that the streams do not share, divided by that of the "
        "backbone [ours]. From random weights and at a high rate, the two stems drift apart early;"
        " a lower factor prevents it"),
    "SOLVER.OPTIMIZER": Option("adam", TABLE, TRAINING,
        "Optimiser. A resumed run keeps the one it began with: the state of one does not fit "
        "another"),
    "SOLVER.WEIGHT_DECAY": Option(5e-4, NOT_NEGATIVE, TRAINING, "Weight decay [field]"),
    "SOLVER.CLIP_NORM": Option(0.0, NOT_NEGATIVE, TRAINING,
        "Largest norm of the gradient of all parameters; a longer gradient is scaled down to it. "
        "0: no limit"),
    "SOLVER.ACCUMULATE": Option(1, POSITIVE, EPOCH,
        "Batches in one optimiser step, which takes the mean of their gradients; for GPUs with "
        "little memory. Losses and BatchNorm see one batch at a time. An epoch has fewer steps, by "
        "this factor (docs/faq.md)"),
    "SOLVER.MOMENTUM": Option(0.9, NOT_NEGATIVE, TRAINING, "Nesterov momentum of `sgd` [field]"),
    "SOLVER.SCHEDULE": Option("step", TABLE, TRAINING,
        "Learning rate after the warm-up: falls in steps, or along a cosine"),
    "SOLVER.STEPS": Option([60, 90], ASCENDING, TRAINING,
        "Epochs after which `step` multiplies the learning rate by `GAMMA`"),
    "SOLVER.GAMMA": Option(0.1, POSITIVE, TRAINING, "Factor of a step"),
    "SOLVER.WARMUP_EPOCHS": Option(10, NOT_NEGATIVE, TRAINING,
        "Epochs in which the learning rate rises linearly to `BASE_LR` [field]"),
    "SOLVER.WARMUP_FACTOR": Option(0.1, SHARE, TRAINING,
        "Learning rate at the start of the warm-up divided by `BASE_LR`"),
    "SOLVER.MIN_LR_FACTOR": Option(0.01, SHARE, TRAINING,
        "Learning rate at the end of `cosine` divided by `BASE_LR`"),
    "SOLVER.EMA": Option(0.0, DECAY, TRAINING,
        "Decay of an exponential moving average of all weights and BatchNorm statistics, updated "
        "after every step. All tools score, export and use the averaged weights; the checkpoint "
        "also keeps the weights that train. The decay of step n, counted from 0, is at most "
        "(1 + n) / (10 + n), so that short trainings forget their start. 0: no average "
        "[CM-NAS: 0.997]"),
    "SOLVER.SELECT": Option("last", ("last", "best"), FEATURES,
        "Epoch that is scored and exported. `best`: the one with the highest validation mAP; needs"
        " `DATA.SPLIT train`"),
    "SOLVER.VAL_EVERY": Option(0, NOT_NEGATIVE, TRAINING,
        "Epochs from one validation to the next. 0: no validation"),
    "SOLVER.GRADIENT_NORMS": Option(False, ANY, NOTHING,
        "Write into metrics.csv the norm of each loss term's gradient in the backbone, at the "
        "first step of every epoch. With several processes it is the gradient of the global batch"),
    "SOLVER.CHECKPOINT_EVERY": Option(0, NOT_NEGATIVE, NOTHING,
        "Epochs between checkpoints that are kept beside last.pth. 0: none"),

    # in_names: results.json has an entry for each protocol
    "TEST.PROTOCOLS": Option([], TABLE, SCORES,
        "Protocols or groups of protocols. Empty: all of the data set's", in_names=False),
    "TEST.METRIC": Option("auto", TABLE, SCORES,
        "Distance between features. `auto`: the protocol's own"),
    "TEST.GALLERY_DRAW": Option("auto", ("auto", "official", "seeded"), SCORES,
        "How gallery images are drawn. `auto`: the protocol's own rule"),
    # results.json has entries of corrupted images beside the others; these say what they are of
    "TEST.CORRUPTION": Option("none", ("none", *CORRUPTED_SIDES), SCORES,
        "Also score corrupted images of this modality, beside the clean ones (docs/corruption.md)"),
    "TEST.CORRUPTION_KINDS": Option([], TABLE, SCORES, "Kinds to draw from. Empty: all"),
    "TEST.CORRUPTION_SEVERITY": Option(0, SEVERITY, SCORES,
        "Severity of every image, 1 to 5. 0: drawn for each image"),
    "TEST.CORRUPTION_RESIZED": Option(False, ANY, SCORES,
        "Resize images to `INPUT.SIZE` before they are corrupted, not after [CIL-CrossModal]"),
    "TEST.CORRUPTION_SEED": Option(0, SEEDS, SCORES,
        "Seed of the draw of kind and severity, which is a function of this seed and the path"),
    # docs/protocols.md explains them. Names of entries hold constants that are not the defaults.
    "TEST.RERANK": Option(False, ANY, SCORES, "Also score k-reciprocal re-ranking", False),
    "TEST.RERANK_K1": Option(20, POSITIVE, SCORES, "Images of a k-reciprocal neighbourhood"),
    "TEST.RERANK_K2": Option(6, POSITIVE, SCORES, "Neighbourhoods that are averaged"),
    "TEST.RERANK_LAMBDA": Option(0.3, SHARE, SCORES, "Weight of the plain distance"),
    "TEST.EXPANSION": Option(False, ANY, SCORES, "Also score query expansion", False),
    "TEST.EXPANSION_K": Option(5, NOT_NEGATIVE, SCORES, "Nearest gallery images"),
    "TEST.EXPANSION_ALPHA": Option(3.0, NOT_NEGATIVE, SCORES, "Power of their cosines"),
    "TEST.AIM": Option(False, ANY, SCORES, "Also score affinity inference (AIM)", False),
    "TEST.AIM_K1": Option(20, NOT_NEGATIVE, SCORES, "Images of an image's affinities"),
    "TEST.AIM_K2": Option(6, POSITIVE, SCORES, "Images whose affinities are averaged"),
    "TEST.BATCH": Option(64, POSITIVE, ROUNDING,
        "Images in a batch when features are computed", in_names=False),
    "TEST.FLIP": Option(False, ANY, FEATURES,
        "Average the features of an image and of its mirror image", costs=True),
    "TEST.EXIT": Option("deep", EXITS, FEATURES, "Head whose features are scored", costs=True),
    "TEST.GALLERY_EXIT": Option("", ("", *EXITS), SCORES,
        "Head for the gallery's images, if it is not that of the queries. Empty: the same head",
        costs=True),
    "TEST.BACKEND": Option("torch", ("torch", "onnxruntime", "openvino", "auto"), ROUNDING,
        "Library that computes features in `evaluate` and `extract`. `auto`: the fastest one for "
        "many images without a GPU. Scores agree to a thousandth"),
    "TEST.EMBED": Option("global+parts", ("global", "parts", "global+parts"), FEATURES,
        "Vectors that make up the feature. Student heads, and models without MGIM, have only the "
        "global one", costs=True),

    "PRECISION": Option("auto", TABLE, TRAINING,
        "Number format of the forward pass in training; `fp16` needs CUDA. `auto`: on a GPU `bf16` "
        "or, on older ones, `fp16`; on a CPU with bf16 instructions `bf16` where a few steps are "
        "at least 1.1 times as fast, else `fp32`. The run stores what it became"),
    "COMPILE": Option(False, ANY, ROUNDING,
        "Use torch.compile; without a compiler the model runs uncompiled", in_names=False),
    "CHANNELS_LAST": Option(False, ANY, ROUNDING,
        "Keep the channels of a map side by side in memory while training. On a CPU, OSNet then "
        "trains faster (docs/performance.md)", in_names=False),
    "THREADS": Option(0, NOT_NEGATIVE, ROUNDING,
        "CPU threads that torch uses. 0: torch decides. A small model trains faster with one "
        "thread, because more threads wait for one another", in_names=False),
    "DEVICE": Option("auto", ANY, NOTHING, "`auto`, `cpu`, `cuda` or `cuda:N`"),
    "SEED": Option(0, SEEDS, EPOCH, "Seed of initial weights, batches and augmentation"),
    "TRACKERS": Option([], TABLE, NOTHING,
        "Experiment trackers that record the run. TensorBoard always does where it is installed "
        "(docs/tracking.md)"),
    "OUTPUT_DIR": Option("", PATH, NOTHING,
        "Run folder. Empty: `runs/<config stem>[/split<t>]/seed<k>`"),
}
# fmt: on


def default_config() -> CfgNode:
    """A fresh node of all options that can be changed."""
    values = {key: option.default for key, option in OPTIONS.items()}
    return nested({k: str(v) if isinstance(v, str) else v for k, v in values.items()})
