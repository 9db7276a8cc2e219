#!/usr/bin/env bash
# sphfile cuts a recording of two channels in the middle of a frame: the speakers change sides.
#
# Packages: sphfile 1.0.3, numpy 2.2.6 (Python 3.11).
# Expected: `time_range(start, stop)` gives the samples between two times, in whole frames, so that every second sample
#           belongs to one channel; the code has "interleaved channels" in mind. Of a file in mu-law, the encoding that
#           the manual calls supported, it gives the sound.
# Seen:     the time is turned into a number of samples of both channels together and cut off there. Where that is odd,
#           the part begins with the second channel, and left and right are exchanged up to its end. At 8 and 16 kHz,
#           where a millisecond is a whole number of frames, 372 of the first 60,000 are odd, all by a rounding: 1.001 s
#           is sample 16015 and not 16016. At 44.1 kHz it is half of them. In a file in mu-law the bytes are given as
#           they are: silence is 255. Nothing is raised.
# Why it matters: telephone corpora have one speaker in each channel, and transcripts with times in milliseconds. In
#           one utterance of 161 a model is then trained on the sound of the other speaker.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet sphfile==1.0.3 numpy==2.2.6
cat > "$work/seen.py" <<'PYTHON'
import sys

import numpy as np
from sphfile import SPHFile


def write(name, rate, coding, samples):
    lines = [
        "NIST_1A", "   1024", f"sample_rate -i {rate}", "channel_count -i 2", "sample_byte_format -s2 01",
        f"sample_n_bytes -i {samples.itemsize}", f"sample_coding -s{len(coding)} {coding}", "end_head", "",
    ]
    path = f"{sys.argv[1]}/{name}.sph"
    with open(path, "wb") as file:
        file.write("\n".join(lines).encode().ljust(1024))
        file.write(samples.tobytes())
    return SPHFile(path)


for rate in (8000, 16000, 44100):
    # The left channel has only positive samples, the right one only negative ones.
    sound = write(f"sound{rate}", rate, "pcm", np.tile(np.array([1000, -1000], "<i2"), 60 * rate))
    starts = [milliseconds / 1000 for milliseconds in range(60_000)]
    exchanged = [start for start in starts if sound.time_range(start, start + 0.5)[0] < 0]
    print(f"{rate} Hz: {len(exchanged)} of {len(starts)} starts exchange the channels, the first at {exchanged[0]} s")
for start in (0.004, 0.005, 0.006):
    print(f"44100 Hz from {start} s:", sound.time_range(start, start + 0.5)[:4].tolist())
silence = write("silence", 8000, "ulaw", np.full(16000, 255, "u1"))
print("silence in mu-law:", silence.content.dtype, silence.time_range(0, 0.5)[:4].tolist())
PYTHON
cat > "$work/expected" <<'TEXT'
8000 Hz: 372 of 60000 starts exchange the channels, the first at 1.001 s
16000 Hz: 372 of 60000 starts exchange the channels, the first at 1.001 s
44100 Hz: 29999 of 60000 starts exchange the channels, the first at 0.005 s
44100 Hz from 0.004 s: [1000, -1000, 1000, -1000]
44100 Hz from 0.005 s: [-1000, 1000, -1000, 1000]
44100 Hz from 0.006 s: [-1000, 1000, -1000, 1000]
silence in mu-law: uint8 [255, 255, 255, 255]
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
