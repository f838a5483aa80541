"""A control's comm message goes into a real kernel, and a changed picture comes out: without a browser."""

import time
import urllib.request

import pytest
from jupyter_client.manager import start_new_kernel
from PIL import Image

from initkit.course.registry import FIGURES

NAMES = sorted(FIGURES)
QUICK = ("random", "why_initialization")  # an edition each; test_live.py moves every control of all

# Prints the models' ids, and of each control another value as a front-end would send it.
SHOW = """
from initkit import live
figure = live.{name}(lang="{lang}")
print(figure.image.model_id)
for control in (c for whole in figure.controls.values() for c in getattr(whole, "bars", [whole])):
    if hasattr(control, "min"):
        state = "value", control.min if control.value != control.min else control.max
    else:
        state = "index", (control.index + 1) % len(control.options)
    print(control.model_id, *state)
figure"""


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def messages(client, parent: str):
    """What the kernel publishes on behalf of that request."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != parent:
            continue
        yield message
        if message["content"].get("execution_state") == "idle":
            return
    raise TimeoutError("the kernel went on for more than a minute")


def printed(client, code: str) -> str:
    text = ""
    for message in messages(client, client.execute(code)):
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "stream":
            text += message["content"]["text"]
    return text


def send(client, control: str, state: dict) -> str:
    """As a front-end does where the hand moves; the message's id."""
    content = {"comm_id": control, "data": {"method": "update", "state": state, "buffer_paths": []}}
    request = client.session.msg("comm_msg", content)
    client.shell_channel.send(request)
    return request["header"]["msg_id"]


@pytest.mark.xdist_group("kernel")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_a_comm_message_in_a_changed_picture_out(kernel, name):
    code = SHOW.format(name=name, lang=("zh", "en")[NAMES.index(name) % 2])
    image, *controls = printed(kernel, code).split("\n")[:-1]
    shown = None
    for line in controls:
        control, trait, value = line.split()
        state = {trait: float(value) if "." in value else int(value)}
        came = [
            bytes(message["buffers"][0])
            for message in messages(kernel, send(kernel, control, state))
            if message["msg_type"] == "comm_msg"
            and message["content"]["comm_id"] == image
            and message["buffers"]
        ]
        assert came, f"{control}: {state} changed no picture"
        assert came[0] != shown
        first, last = (Image.open(urllib.request.urlopen(data.decode())) for data in (came[0], came[-1]))
        assert first.size == last.size
        shown = came[-1]


SLOW = """
import time
from initkit import live
figure = live.taste(lang="en")
def respond(sigma_w):
    for step in range(40):
        with open({path!r}, "a") as file:
            print(round(sigma_w, 2), file=file)
        time.sleep(0.1)
        yield
figure.respond = respond
print(figure.controls["sigma_w"].model_id)
figure"""


@pytest.mark.xdist_group("kernel")
def test_a_message_ends_long_work(kernel, tmp_path):
    """It needs several turns of the kernel's event loop to get to the control."""
    path = tmp_path / "asked"
    control = printed(kernel, SLOW.format(path=str(path))).strip()

    def asked(value, steps):
        end = time.monotonic() + 30
        while not path.exists() or path.read_text(encoding="utf-8").split().count(value) < steps:
            assert time.monotonic() < end, f"respond was not asked for {value}"
            time.sleep(0.01)
        return path.read_text(encoding="utf-8").split()

    send(kernel, control, {"value": 1.0})
    assert set(asked("1.0", 2)) == {"1.0"}
    send(kernel, control, {"value": 2.0})
    # All forty steps, had the message not got through. A busy machine may pass PAUSE within a turn.
    assert asked("2.0", 1).count("1.0") < 20
