"""Start Home Assistant as `python -m homeassistant` does, with two differences.

It ends with the process that started it, whatever becomes of that one. And it does
without voice and cameras, which Home Assistant sets up unasked and which want FFmpeg,
libturbojpeg and a compiler: they are left out, and what they import has stand-ins, as
the frontend has them imported all the same.
"""

import ctypes
import signal
import sys
from types import ModuleType

PR_SET_PDEATHSIG = 1

LEFT_OUT = {"assist_satellite", "camera", "image_processing", "tts"}
STAND_INS = {
    "pymicro_vad": "MicroVad",
    "pyspeex_noise": "AudioProcessor",
    "turbojpeg": "TurboJPEG",
}


def main() -> int:
    """Return the exit status."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for name, attribute in STAND_INS.items():
        sys.modules[name] = ModuleType(name)
        setattr(sys.modules[name], attribute, type(attribute, (), {}))

    from homeassistant import __main__, bootstrap

    bootstrap.DEFAULT_INTEGRATIONS -= LEFT_OUT
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
