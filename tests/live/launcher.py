"""Start Home Assistant like `python -m homeassistant`, with two differences.

On Linux, Home Assistant ends when the process that started it ends. The default
integrations for voice and cameras are left out, since they need FFmpeg, libturbojpeg
and a compiler. The frontend still imports them, so their missing packages have
stand-ins.
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
    """Run Home Assistant and return the exit status."""
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
