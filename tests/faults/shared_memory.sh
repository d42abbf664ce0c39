#!/bin/bash
# Trains with a small /dev/shm, in a mount namespace of its own. Needs root.
#
#     ROOT=path/to/a/SYSU-MM01/tree bash tests/faults/shared_memory.sh 16 64 256
#
# Prints the exit code, the seconds and the warning for each number of MB.
set -u
export OMP_NUM_THREADS=1 ROOT=${ROOT:?} PYTHON=${PYTHON:-python}
OUT=$(mktemp -d)
for MB in "$@"; do
  started=$(date +%s)
  MB=$MB OUT=$OUT unshare -m bash -c '
    mount -t tmpfs -o size=${MB}m tmpfs /dev/shm
    timeout -k 15 ${LIMIT:-300} "$PYTHON" tools/train.py --cfg configs/sysu.yaml DATA.ROOT "$ROOT" \
      OUTPUT_DIR "$OUT/$MB" INPUT.SIZE "[384, 192]" DATA.WORKERS 2 DEVICE cpu PRECISION fp32 \
      MODEL.BACKBONE sdc_cnn_x0_25_s16 MODEL.SDM.ENABLED false MODEL.MGIM.ENABLED false \
      MODEL.PRETRAINED none SAMPLER.IDENTITIES 8 SAMPLER.IMAGES 8 SOLVER.EPOCHS 1 \
      SOLVER.WARMUP_EPOCHS 0 SOLVER.STEPS "[]" TEST.PROTOCOLS "[sysu_all_single]" \
      TEST.GALLERY_DRAW seeded > "$OUT/$MB.txt" 2>&1'
  echo "$MB MB: exit code $? after $(($(date +%s) - started)) s"
  grep -h "/dev/shm" "$OUT/$MB.txt" | cut -c1-240
done
