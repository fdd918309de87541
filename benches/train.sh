#!/bin/sh
# The training bench beside PyTorch.
#
#   benches/train.sh [OPTIONS]       builds the bench and runs it (--help has the options)
#   benches/train.sh bundle DIR      builds it and packs DIR: binary, scripts and run.sh, for a machine without Rust
#
# PYTHON names a Python with torch and transformers [default: python3]; CARGO the cargo to build with.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

# Whether the GPU can be reached; in words where it can't. Vulkan needs a loader and a driver's file, which containers made
# for CUDA alone often lack.
tell_of_vulkan() {
    command -v nvidia-smi >/dev/null 2>&1 || return 0
    if ! (ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true) | grep -q 'libvulkan\.so\.1'; then
        echo "note: there is an NVIDIA driver but no Vulkan loader: install libvulkan1 (Debian, Ubuntu) or vulkan-loader" >&2
    elif ! ls /etc/vulkan/icd.d/* /usr/share/vulkan/icd.d/* >/dev/null 2>&1 && [ -z "${VK_DRIVER_FILES:-}" ]; then
        echo "note: there is a Vulkan loader but no driver is registered: start the container with" >&2
        echo "      NVIDIA_DRIVER_CAPABILITIES=all, or point VK_DRIVER_FILES at the driver's nvidia_icd.json" >&2
    fi
}

# In a bundle the binary stands beside this script.
if [ -x "$here/bench-train" ]; then
    tell_of_vulkan
    exec "$python" "$here/train.py" --bench "$here/bench-train" "$@"
fi

cd "$here/.."
echo "building" >&2
# As every other build (release), so that the dependencies are compiled once.
binary=$("${CARGO:-cargo}" build --release --bench train --message-format=json-render-diagnostics |
    sed -n 's/.*"kind":\["bench"\].*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
if [ -z "$binary" ]; then
    echo "error: cargo told no executable for the bench" >&2
    exit 1
fi

if [ "${1:-}" = bundle ]; then
    if [ -z "${2:-}" ]; then
        echo "usage: benches/train.sh bundle DIR" >&2
        exit 2
    fi
    mkdir -p "$2/peers"
    cp "$binary" "$2/bench-train"
    strip "$2/bench-train" 2>/dev/null || true
    cp benches/train.py "$2/"
    cp benches/peers/train_torch.py benches/peers/requirements-train.txt "$2/peers/"
    cp benches/train.sh "$2/run.sh"
    chmod +x "$2/run.sh" "$2/bench-train"
    echo "packed; there: PYTHON=python3 $2/run.sh (needs torch and transformers: peers/requirements-train.txt; --peers none runs without)"
    exit 0
fi

tell_of_vulkan
exec "$python" benches/train.py --bench "$binary" "$@"
