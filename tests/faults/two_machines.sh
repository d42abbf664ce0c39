#!/bin/bash
# Two machines as two network namespaces: trains on both by torchrun, CPU and gloo. Needs root.
#
#     bash tests/faults/two_machines.sh CASE OUT [KEY VALUE ...]
#
# CASE: both · killed (the second machine's processes die in training) · cut (its network does) ·
# missing (its data set's folder does not exist) · other (its data set is another one).
# Set ROOT to a SYSU-MM01 tree, PYTHON to the interpreter, OTHER to another tree for "other".
set -u
CASE=$1 OUT=$2; shift 2
PYTHON=${PYTHON:-python} ROOT=${ROOT:?} OTHER=${OTHER:-/nonexistent}
export OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=eth0
A=vireid_a$$ B=vireid_b$$
trap 'ip netns del $A; ip netns del $B' EXIT
ip netns add $A; ip netns add $B
ip link add eth0 netns $A type veth peer name eth0 netns $B
for n in 1 2; do
  space=$([ $n = 1 ] && echo $A || echo $B)
  ip -n "$space" addr add 10.99.0.$n/24 dev eth0
  ip -n "$space" link set eth0 up
  ip -n "$space" link set lo up
done
agent() { # namespace, data set's folder, output
  ip netns exec "$1" "$PYTHON" -m torch.distributed.run --nnodes 2 --nproc-per-node 1 \
    --rdzv-backend c10d --rdzv-endpoint 10.99.0.1:29511 --rdzv-id vireid --local-addr "$4" \
    --rdzv-conf is_host=$([ "$1" = $A ] && echo 1 || echo 0) \
    tools/train.py --cfg configs/sysu.yaml DATA.ROOT "$2" OUTPUT_DIR "$OUT" DEVICE cpu "${@:5}" \
    > "$3" 2>&1
}
case $CASE in missing) ROOT_B=/nonexistent/sysu ;; other) ROOT_B=$OTHER ;; *) ROOT_B=$ROOT ;; esac
started=$(date +%s)
agent $A "$ROOT" "$OUT.a.txt" 10.99.0.1 "$@" & first=$!
agent $B "$ROOT_B" "$OUT.b.txt" 10.99.0.2 "$@" & second=$!
if [ "$CASE" = killed ] || [ "$CASE" = cut ]; then
  until [ -s "$OUT/metrics.csv" ] && [ "$(wc -l < "$OUT/metrics.csv")" -gt 1 ]; do sleep 0.2; done
  echo "disturbed after $(($(date +%s) - started)) s"; started=$(date +%s)
  if [ "$CASE" = cut ]; then ip -n $B link set eth0 down
  else ip netns pids $B | xargs kill -9; fi
fi
wait $first; a=$?
echo "first machine: exit code $a after $(($(date +%s) - started)) s"
wait $second; b=$?
echo "second machine: exit code $b after $(($(date +%s) - started)) s"
grep -h "^error\|^process\|rank-1\|sysu_all_single" "$OUT.a.txt" "$OUT.b.txt"
