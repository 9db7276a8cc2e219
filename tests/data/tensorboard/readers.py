"""Prints what TensorBoard's three readers have of a folder of runs, as JSON: the library, and both servers over HTTP.

Arguments: the folder, a run in it, and the number of its steps, for which the servers are given a minute.
"""

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from tensorboard.backend.event_processing import event_accumulator

folder, run, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])


def of_library():
    accumulator = event_accumulator.EventAccumulator(f"{folder}/{run}", size_guidance=dict.fromkeys(
        [event_accumulator.SCALARS, event_accumulator.HISTOGRAMS, event_accumulator.IMAGES, event_accumulator.TENSORS], 0))
    accumulator.Reload()
    tags = accumulator.Tags()
    return {
        "scalars": {tag: [[event.step, event.value] for event in accumulator.Scalars(tag)] for tag in tags["scalars"]},
        "histograms": {tag: [event.step for event in accumulator.Histograms(tag)] for tag in tags["histograms"]},
        "images": {tag: [[event.step, event.encoded_image_string[:8].hex()] for event in accumulator.Images(tag)]
                   for tag in tags["images"]},
        "tensors": {tag: [event.step for event in accumulator.Tensors(tag)] for tag in tags["tensors"]},
    }


def of_server(fast):
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--port", "0", "--load_fast", fast,
               "--samples_per_plugin", "scalars=1000000,histograms=1000,images=1000,text=1000"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = next(found.group(0) for found in (re.search(r"http://\S+/", line) for line in server.stderr) if found)

        def get(path, **query):
            if query:
                query = {"run": run, **query}
            url = f"{address}data/plugin/{path}?{urllib.parse.urlencode(query)}"
            return json.load(urllib.request.urlopen(url))

        def scalars(tag):
            return [[step, value] for _, step, value in get("scalars/scalars", tag=tag)]

        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if "loss" in get("scalars/tags").get(run, {}) and len(scalars("loss")) >= steps:
                break
            time.sleep(0.2)
        found = {"scalars": {tag: scalars(tag) for tag in get("scalars/tags")[run]}}
        tags = get("histograms/tags").get(run, {})
        found["histograms"] = {tag: [point[1] for point in get("histograms/histograms", tag=tag)] for tag in tags}

        def picture(query):
            return urllib.request.urlopen(f"{address}data/plugin/images/individualImage?{query}").read()[:8].hex()

        tags = get("images/tags").get(run, {})
        found["images"] = {tag: [[image["step"], picture(image["query"])] for image in get("images/images", tag=tag, sample=0)]
                           for tag in tags}
        texts = get("text/tags").get(run, [])
        found["texts"] = {tag: [[text["step"], text["text"]] for text in get("text/text", tag=tag)] for tag in texts}
        request = {"allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING"], "colParams": [],
                   "startIndex": 0, "sliceSize": 10}
        body = json.dumps(request).encode()
        url = f"{address}data/plugin/hparams/session_groups"
        headers = {"Content-Type": "application/json"}
        groups = json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers)))
        found["hyperparameters"] = groups
        return found
    finally:
        server.terminate()
        server.wait()


print(json.dumps({"library": of_library(), "python": of_server("false"), "rust": of_server("true")}))
