"""Clients of others for Python, as they come, against a running service: one line of JSON for each that was tried.

    python python_clients.py ORIGIN [NAME ...]

Each has the defaults that its users have; what they send (`dall-e-3`, `1024x1024`, `vivid`) is the service's to understand.
"""

import asyncio
import base64
import importlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

ORIGIN = sys.argv[1]
# Before anything is imported that reads them.
os.environ.update(
    OPENAI_API_KEY="any",
    OPENAI_BASE_URL=f"{ORIGIN}/v1",
    OPENAI_API_BASE=f"{ORIGIN}/v1",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
)
PROMPT = "a photo of a red apple"
PNG = b"\x89PNG\r\n\x1a\n"

CHECKS: dict[str, Callable[[], object]] = {}


def check(action: Callable[[], object]) -> Callable[[], object]:
    CHECKS[action.__name__] = action
    return action


def require_png(data: bytes, side: int | None = None) -> str:
    assert data.startswith(PNG), data[:20]
    width = int.from_bytes(data[16:20], "big")
    assert side in (None, width), f"{width} pixels wide"
    return f"PNG of {width} pixels"


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:
        return response.read()


@check
def openai_sync() -> str:
    from openai import OpenAI

    answer = OpenAI().images.generate(model="dall-e-3", prompt=PROMPT, size="1024x1024", quality="standard", style="vivid")
    assert answer.data and answer.data[0].url and answer.data[0].b64_json
    assert answer.size == "1024x1024"
    assert fetch(answer.data[0].url) == base64.b64decode(answer.data[0].b64_json)
    return require_png(base64.b64decode(answer.data[0].b64_json), 1024)


@check
def openai_several() -> str:
    from openai import OpenAI

    answer = OpenAI().images.generate(model="gpt-image-1", prompt=PROMPT, n=2, quality="low")
    assert answer.data and len({datum.b64_json for datum in answer.data}) == 2
    return "2 different pictures"


@check
def openai_async() -> str:
    from openai import AsyncOpenAI

    async def ask() -> str:
        async with AsyncOpenAI() as client:
            answer = await client.images.generate(prompt=PROMPT, response_format="b64_json")
        assert answer.data and answer.data[0].url is None
        return require_png(base64.b64decode(answer.data[0].b64_json or ""))

    return asyncio.run(ask())


@check
def openai_stream() -> list[str]:
    from openai import OpenAI

    types = []
    for event in OpenAI().images.generate(prompt=PROMPT, stream=True, partial_images=2, extra_body={"seed": 11}):
        types.append(event.type)
        require_png(base64.b64decode(event.b64_json))
    assert types[-1] == "image_generation.completed" and len(types) > 1, types
    return types


@check
def openai_stream_async() -> list[str]:
    from openai import AsyncOpenAI

    async def ask() -> list[str]:
        async with AsyncOpenAI() as client:
            stream = await client.images.generate(prompt=PROMPT, stream=True)
            return [event.type async for event in stream]

    types = asyncio.run(ask())
    assert types == ["image_generation.completed"], types
    return types


@check
def openai_models() -> list[str]:
    from openai import OpenAI

    client = OpenAI()
    ids = [model.id for model in client.models.list()]
    assert client.models.retrieve(ids[0]).id == ids[0]
    assert client.models.retrieve("dall-e-3").id in ids
    return ids


@check
def openai_errors() -> list[str]:
    import openai

    client = openai.OpenAI(max_retries=2)
    told = []
    asked: list[tuple[type[openai.APIStatusError], Callable[[], object]]] = [
        (openai.BadRequestError, lambda: client.images.generate(prompt=PROMPT, size="1792x1024")),
        (openai.NotFoundError, lambda: client.images.generate(prompt=PROMPT, model="sdxl")),
        (openai.BadRequestError, lambda: client.images.edit(prompt=PROMPT, image=b"x")),
        (openai.BadRequestError, lambda: client.images.create_variation(image=b"x")),
        (openai.BadRequestError, lambda: list(client.images.generate(prompt=" ", stream=True))),
    ]
    for expected, ask in asked:
        try:
            ask()
        except expected as error:
            told.append(str(error.code))
        else:
            raise AssertionError(f"no {expected.__name__}")
    return told


@check
def litellm_image() -> str:
    import litellm

    answer = litellm.image_generation(prompt=PROMPT, model="openai/dall-e-3", api_base=f"{ORIGIN}/v1", size="1024x1024")
    return require_png(fetch(answer.data[0].url))


@check
def langchain_dalle() -> str:
    from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

    return require_png(fetch(DallEAPIWrapper().run(PROMPT)), 1024)


@check
def llama_index_tool() -> str:
    from llama_index.tools.openai import OpenAIImageGenerationToolSpec

    return require_png(fetch(OpenAIImageGenerationToolSpec(api_key="any").image_generation(PROMPT)), 1024)


def _new_job(seed: int) -> dict:
    body = json.dumps({"prompt": PROMPT, "seed": seed, "quality": "low"}).encode()
    request = urllib.request.Request(f"{ORIGIN}/v1/jobs", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


@check
def websockets_events() -> list[str]:
    from websockets.sync.client import connect

    job = _new_job(21)
    with connect(job["eventsUrl"].replace("http", "ws", 1)) as socket:
        # Leaves the loop without an exception only at the normal closure.
        types = [json.loads(message)["event"]["type"] for message in socket]
    assert types[-1] == "succeeded", types
    return types


@check
def webhook_signature() -> str:
    from standardwebhooks.webhooks import Webhook

    signed = json.loads(os.environ["SIGNED_WEBHOOK"])
    return Webhook(signed["secret"]).verify(signed["body"], signed["headers"])["type"]


@check
def openapi_document() -> str:
    from openapi_spec_validator import validate

    document = json.loads(fetch(f"{ORIGIN}/openapi.json"))
    validate(document)
    return document["openapi"]


@check
def generated_client() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--url", f"{ORIGIN}/openapi.json"]
        made = [*command, "--output-path", f"{folder}/generated_edge", "--meta", "none"]
        done = subprocess.run(made, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        sys.path.insert(0, folder)
        client = importlib.import_module("generated_edge").Client(base_url=ORIGIN)
        models = importlib.import_module("generated_edge.models")
        generate = importlib.import_module("generated_edge.api.images.generate_image")
        answer = generate.sync(client=client, body=models.ImageRequest(prompt=PROMPT, parm=models.ParmOptions(candidates=4)))
        assert isinstance(answer, models.ImageResponse), answer
        assert isinstance(answer.parm, models.GenerationSummary)
        picture = require_png(base64.b64decode(answer.data[0].b64_json))
        scores = importlib.import_module("generated_edge.api.scores.score_images")
        one = models.ScoreOnePicture(prompt=PROMPT, image=answer.data[0].url.split("/")[-1])
        scored = scores.sync(client=client, body=one)
        assert isinstance(scored, models.ScoreRecord), scored
        alignment = scored.data[0].scores["parm"].alignment
        assert 0 <= alignment <= 1
        return f"{picture}, alignment {alignment:.2f}"


def main() -> None:
    for name in sys.argv[2:] or CHECKS:
        try:
            result = {"name": name, "ok": True, "got": CHECKS[name]()}
        except Exception as error:  # noqa: BLE001 - what a client raises is what is to be told
            result = {"name": name, "ok": False, "got": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
