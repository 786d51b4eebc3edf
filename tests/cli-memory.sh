#!/usr/bin/env bash
# --max-mem, measured from outside: the largest resident memory of afpipe-launch, as its parent is told when it ends.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

# The shadow memory of sanitizers counts, too.
if grep -q '^AFP_LDFLAGS.*-fsanitize=' "${AFP_TEST_BUILDDIR:?}/Makefile"; then
  echo '1..0 # SKIP sanitizers take memory of their own'
  exit 0
fi

launch () { afpipe-launch --quiet "$@"; }

# stays MIB ARGUMENTS...: afpipe-launch ends well and never has more than so many MiB resident.
stays () {
  python3 - "$@" <<'END'
import resource, subprocess, sys
limit = int(sys.argv[1])
status = subprocess.run(['afpipe-launch', '--quiet'] + sys.argv[2:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f'exit status {status}, at most {peak:.1f} MiB of {limit} MiB')
sys.exit(status != 0 or peak > limit)
END
}

budget=40 # MiB
chain () { stays $budget -j2 --max-mem ${budget}M --report "$tmp/report.json" "$@"; }

# What the report says of the last chain: the budget was kept by count, too, and more was planned than was taken, not absurdly so.
counted () {
  python3 - "$tmp/report.json" <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
budget, planned, charged, rss = (report[name] for name in (
    'budget_bytes', 'planned_peak_bytes', 'charged_peak_bytes', 'peak_rss_bytes'))
print(f'budget {budget} planned {planned} charged {charged} resident {rss}')
sys.exit(not (rss <= charged <= budget and planned <= charged and charged <= 1.75 * rss))
END
}

# 128 MiB each
synth='synth shapes=512x1024 count=32 dtype=f64'
check 'hyper, eval, a file' chain "$synth ! hyper ! eval ! write location=$tmp/a.h5"
check '... by count' counted
check 'a residual that travels as floats' chain "$synth ! vptq k=16 iterations=5 residual=true ! vptq k=16 iterations=5 ! eval ! null"
check '... by count' counted
check 'three stages that ask each other' chain \
  "$synth ! seedlm K=4 samples=512 rounds=1 ! vptq k=16 iterations=5 ! hyper ! write location=$tmp/b.h5"
check '... by count' counted

# A mapped model of 512 MiB, all of which is read: its pages go as it streams through.
python3 - "$tmp/sparse.safetensors" <<'END'
import json, struct, sys
size = 1024 * 4096 * 4
header = json.dumps({f'w{i}': {'dtype': 'F32', 'shape': [1024, 4096], 'data_offsets': [i * size, (i + 1) * size]}
                     for i in range(32)}).encode()
with open(sys.argv[1], 'wb') as file:
    file.write(struct.pack('<Q', len(header)) + header)
    file.truncate(8 + len(header) + 32 * size)
END
check 'a mapped model streams through' stays 120 -j2 --max-mem 60M "load location=$tmp/sparse.safetensors ! decode dtype=f16 ! null"

# what does not fit
check 'a tensor that does not fit' fails 8 "tensor 'synth.0' needs" 'for the process, but the budget is 40.0 MiB (41943040 bytes)' \
  'raise --max-mem' "exclude='synth.0'" -- launch --max-mem 40M 'synth shapes=4096x4096 ! vptq ! null'
check '... mapped, it does' stays 60 --max-mem 40M "load location=$tmp/sparse.safetensors ! select tensors=w0 ! hyper ! null"
check 'tables that do not fit' fails 8 "tensor 'synth.0' needs" '(62914560 bytes)' -- \
  launch --max-mem 60M 'synth shapes=2048x2048 ! hyper ! entropy ! write location='"$tmp/c.h5"
check '... leave no file' test ! -e "$tmp/c.h5"
check 'a budget below what the process takes' fails 8 'the budget is 1.00 MiB (1048576 bytes)' 'without any tensor' -- \
  launch --max-mem 1M 'synth shapes=8x8 ! null'
check 'fewer threads, and it is said' fails 0 'of 64 threads: the memory budget' -- \
  afpipe-launch -j64 --max-mem 60M 'synth shapes=512x1024 ! seedlm K=4 ! null'
finish
