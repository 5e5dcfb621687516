"""Clients of others for Python, as they come, against a running service: one line of JSON for each that was tried.

    python python_clients.py ORIGIN [NAME ...]

Each has the defaults that its users have; what they send (`dall-e-3`, `1024x1024`, `vivid`) is the service's to understand.
"""

import asyncio
import base64
import contextlib
import importlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
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
def litellm_proxy() -> list[str]:
    """The proxy as a process, asked by the official client as its users ask it."""
    from openai import BadRequestError, OpenAI

    program = Path(sys.prefix).with_name(".venv-proxy") / "bin/litellm"
    key = f"sk-{secrets.token_hex(16)}"
    served = {"model": "openai/dall-e-3", "api_base": f"{ORIGIN}/v1", "api_key": "any"}
    settings = {"model_list": [{"model_name": "pictures", "litellm_params": served}], "general_settings": {"master_key": key}}
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config = Path(folder, "config.yaml")
        config.write_text(json.dumps(settings))
        command = [str(program), "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--telemetry", "False"]
        with Path(folder, "log").open("w") as log:
            proxy = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)
            for _ in range(240):
                assert proxy.poll() is None, Path(folder, "log").read_text()[-2000:]
                with contextlib.suppress(OSError):
                    fetch(f"http://127.0.0.1:{port}/health/liveliness")
                    break
                time.sleep(0.5)
            answer = client.images.generate(model="pictures", prompt=PROMPT, size="1024x1024", quality="standard")
            assert answer.data
            picture = require_png(fetch(answer.data[0].url or ""), 1024)
            several = client.images.generate(model="pictures", prompt=PROMPT, n=2, response_format="b64_json")
            assert len({datum.b64_json for datum in several.data or []}) == 2
            try:
                client.images.generate(model="pictures", prompt=" ")
            except BadRequestError as refused:
                return [picture, "2 different pictures", f"refused: {refused.status_code}"]
            raise AssertionError("an empty prompt was not refused")
        finally:
            proxy.terminate()
            proxy.wait()


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


def _generate(kind: str, folder: str, *options: str) -> None:
    """Runs openapi-generator, which checks the document and ends with another status where it cannot."""
    command = [str(Path(sys.executable).with_name("openapi-generator-cli")), "generate", "-g", kind]
    done = subprocess.run(
        [*command, "-i", f"{ORIGIN}/openapi.json", "-o", folder, *options], cwd=folder, capture_output=True, text=True
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-2000:]
    assert "] ERROR" not in told, [line for line in told.splitlines() if "] ERROR" in line]


@check
def openapi_generator_python() -> str:
    with tempfile.TemporaryDirectory() as folder:
        _generate("python", folder, "--package-name", "openapi_edge")
        sys.path.insert(0, folder)
        edge = importlib.import_module("openapi_edge")
        client = edge.ApiClient(edge.Configuration(host=ORIGIN))
        request = edge.ImageRequest(prompt=PROMPT, parm=edge.ParmOptions(candidates=4))
        answer = edge.ImagesApi(client).generate_image(request).actual_instance
        picture = require_png(base64.b64decode(answer.data[0].b64_json))
        item = edge.ScoreOnePicture(prompt=PROMPT, image=answer.data[0].url.split("/")[-1])
        scored = edge.ScoresApi(client).score_images(edge.ScoreRequest(item))
        assert scored.data[0].actual_instance.scores["parm"].alignment is not None
        return picture


@check
def openapi_generator_typescript() -> str:
    compiler = Path(__file__).parent / "node_modules/typescript/bin/tsc"
    if not compiler.exists():
        return "not compiled: no test/clients/node_modules"
    with tempfile.TemporaryDirectory() as folder:
        _generate("typescript-fetch", folder)
        strict = ["--strict", "--skipLibCheck", "--target", "es2022", "--lib", "es2022,dom", "--module", "commonjs"]
        compiled = subprocess.run(
            ["node", str(compiler), *strict, "--outDir", f"{folder}/made", f"{folder}/index.ts"], capture_output=True, text=True
        )
        assert compiled.returncode == 0, compiled.stdout
        script = f"""
            const {{ Configuration, ImagesApi }} = require({json.dumps(folder + "/made/index.js")})
            const images = new ImagesApi(new Configuration({{ basePath: {json.dumps(ORIGIN)} }}))
            const asked = {{ imageRequest: {{ prompt: {json.dumps(PROMPT)} }} }}
            images.generateImage(asked).then((answer) => console.log(answer.data[0].b64Json))
        """
        ran = subprocess.run(["node", "-e", script], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return require_png(base64.b64decode(ran.stdout))


@check
def schemathesis() -> list[str]:
    """The fuzzer holds the service against its document."""
    program, config = Path(sys.executable).with_name("st"), Path(__file__).with_name("schemathesis.toml")
    command = [str(program), "--config-file", str(config), "run", f"{ORIGIN}/openapi.json"]
    told = []
    for seed in ("1", "2"):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([*command, "--seed", seed], cwd=folder, capture_output=True, text=True)
        failures = done.stdout[done.stdout.find("= FAILURES") :] if "= FAILURES" in done.stdout else done.stdout[-1500:]
        assert done.returncode == 0, failures[:1800]
        told.append(next(line.strip() for line in done.stdout.splitlines() if " passed" in line))
    return told


def main() -> None:
    for name in sys.argv[2:] or CHECKS:
        try:
            result = {"name": name, "ok": True, "got": CHECKS[name]()}
        except Exception as error:  # noqa: BLE001 - what a client raises is what is to be told
            result = {"name": name, "ok": False, "got": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
