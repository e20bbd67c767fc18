"""A Vibora 0.0.6 application on Vibora's own server. Runs on Python 3.6, the only one that Vibora works on."""

# mypy: ignore-errors
# It is not installed where mypy runs, and its annotations are none.

import asyncio
import sys

from vibora import Request, Response, Vibora
from vibora.responses import JsonResponse, StreamingResponse

app = Vibora()
opened = []


@app.route("/")
async def tell(request: Request):
    return JsonResponse({"url": request.url.decode(), "headers": request.headers.dump()})


@app.route("/upload", methods=["POST"])
async def upload(request: Request):
    return Response(bytes(await request.stream.read()))


@app.route("/stream")
async def stream():
    gate = asyncio.Event()
    opened.append(gate)

    async def pieces():
        yield b"first "
        await gate.wait()
        yield b"second"

    return StreamingResponse(pieces)


@app.route("/open")
async def open_gate():
    opened.pop().set()
    return Response(b"opened")


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), workers=1, debug=False)
