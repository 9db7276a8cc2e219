#!/usr/bin/env bash
# Compiles every kernel for the device and compares what each thread and block takes with resources.txt, or with
# `--write` replaces that file. It needs nvcc, which NVCC may name. A kernel that spills registers or keeps an array in
# local memory is an error: both are memory traffic that no source line shows.
set -euo pipefail
cd "$(dirname "$0")"
found=$(mktemp)
trap 'rm -f "$found" "$found.cubin"' EXIT

for source in *.cu; do
    "${NVCC:-nvcc}" -std=c++17 -cubin -arch="sm_${CUDA_COMPUTE_CAP:-90}" -O3 --fmad=true -Xptxas -v "$source" \
        -o "$found.cubin" 2>&1 | awk -v source="$source" '
        /Compiling entry function/ { split($0, part, "\047"); kernel = part[2] }
        /bytes stack frame/ { stack = $1; stores = $5; loads = $9 }
        /Used .* registers/ {
            shared = 0
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^registers/) registers = $(i - 1)
                if ($i ~ /^smem/) shared = $(i - 2)
            }
            print source, kernel, registers, shared, stack, stores + loads
        }
        /error: |fatal/ { print > "/dev/stderr"; failed = 1 }
        END { exit failed }'
done | sort | awk '
    BEGIN { print "file kernel registers shared_bytes local_bytes spilled_bytes" } { print }' | column -t > "$found"

bad=$(awk 'NR > 1 && ($5 != 0 || $6 != 0)' "$found")
if [ -n "$bad" ]; then
    printf 'kernels with local memory or spilled registers:\n%s\n' "$bad" >&2
    exit 1
fi
if [ "${1:-}" = --write ]; then
    cp "$found" resources.txt
elif ! diff -u resources.txt "$found"; then
    echo "the kernels take other resources than resources.txt says; if that is meant, run resources.sh --write" >&2
    exit 1
fi
