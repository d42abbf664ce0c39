#!/bin/bash
# Two hosts as two network namespaces fill one gallery by torchrun. Needs root.
#
#     bash tests/faults/two_hosts_search.sh WHERE OUT [RESTARTS]
#
# WHERE: folder (both see it) · s3 (moto's server on the first host). RESTARTS: 0 (default), or how
# often torchrun starts all processes again; then one process of the second host is killed once.
# Set MODEL to an exported model, IMAGES to a folder of visible images, PYTHON to the interpreter.
set -eu
WHERE=$1 OUT=$2 RESTARTS=${3:-0} PYTHON=${PYTHON:-python} PORT=5733
: "${MODEL:?}" "${IMAGES:?}"
export AWS_ENDPOINT=http://10.99.1.1:$PORT AWS_ALLOW_HTTP=true AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret GLOO_SOCKET_IFNAME=eth0
A=vireid_s$$ B=vireid_t$$ SERVER=
trap '[ -z "$SERVER" ] || kill $SERVER; ip netns del $A; ip netns del $B' EXIT
ip netns add $A; ip netns add $B
ip link add eth0 netns $A type veth peer name eth0 netns $B
for n in 1 2; do
  space=$([ $n = 1 ] && echo $A || echo $B)
  ip -n "$space" addr add 10.99.1.$n/24 dev eth0
  ip -n "$space" link set eth0 up
  ip -n "$space" link set lo up
done
mkdir -p "$OUT"; PLACE=$OUT/people
if [ "$WHERE" = s3 ]; then
  ip netns exec $A "$PYTHON" -m moto.server -H 10.99.1.1 -p $PORT > "$OUT/server.txt" 2>&1 & SERVER=$!
  until ip netns exec $B curl -s -X PUT "$AWS_ENDPOINT/bucket" > /dev/null; do sleep 0.5; done
  PLACE=s3://bucket/people
fi
host() { # namespace, address, step
  ip netns exec "$1" "$PYTHON" -m torch.distributed.run --nnodes 2 --nproc-per-node 2 \
    --max-restarts "$RESTARTS" --rdzv-backend c10d --rdzv-endpoint 10.99.1.1:29512 \
    --rdzv-id search --local-addr "$2" \
    --rdzv-conf is_host=$([ "$1" = $A ] && echo 1 || echo 0) \
    tools/search.py build --model "$MODEL" --images "$IMAGES" --modality visible --threads 1 \
    --gallery "$PLACE" > "$OUT/$2.txt" 2>&1
}
host $A 10.99.1.1 & first=$!
host $B 10.99.1.2 & second=$!
if [ "$RESTARTS" != 0 ]; then
  sleep 12
  ip netns pids $B | while read -r id; do
    grep -q LOCAL_RANK=1 "/proc/$id/environ" && kill -9 "$id" && echo "killed one process"
  done || true
fi
wait $first && echo "first host: exit code 0"
wait $second && echo "second host: exit code 0"
grep -h "^process .*: added\|^error\|^process .*: error" "$OUT"/10.*.txt
ip netns exec $A "$PYTHON" tools/search.py info --gallery "$PLACE" | head -1
