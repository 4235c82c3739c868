"""Run an exported system on a CT with TensorFlow and NumPy alone; prints seconds and peak memory as JSON.

python serve_alone.py MODEL CT.npz LABELS.npy
"""

import json
import resource
import sys
import time

import numpy as np
import tensorflow as tf

if __name__ == "__main__":
    model, ct, out = sys.argv[1:]
    start = time.perf_counter()
    serve = tf.saved_model.load(model).signatures["serving_default"]
    loaded = time.perf_counter()
    with np.load(ct) as arrays:
        volume, spacing_mm = tf.constant(arrays["hu"], tf.float32), tf.constant(arrays["spacing_mm"], tf.float32)
    read = time.perf_counter()
    labels = serve(volume=volume, spacing_mm=spacing_mm)["labels"].numpy()
    done = time.perf_counter()
    np.save(out, labels)
    packages = sorted({name.split(".")[0] for name in sys.modules} & {"kits_tf", "scipy", "nibabel", "skimage"})
    found = {
        "load_seconds": round(loaded - start, 2),
        "segment_seconds": round(done - read, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        "of_the_project_imported": packages,
    }
    print(json.dumps(found))
