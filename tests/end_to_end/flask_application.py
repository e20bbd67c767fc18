"""A Flask application with synchronous and asynchronous views; runs inside the server's process."""

import hashlib

import flask
import httpx

from tests.end_to_end.applications import where_am_i

app = flask.Flask(__name__)

# Made once for the whole process: its connections belong to the loop they were opened on.
api_client = httpx.AsyncClient(verify=False, timeout=10.0, trust_env=False)


@app.get("/page/<name>")
def page(name: str) -> flask.Response:
    return flask.jsonify(name=name, argument=flask.request.args.get("x"), root=flask.request.script_root)


@app.post("/form")
def form() -> flask.Response:
    upload = flask.request.files["upload"].read()
    return flask.jsonify(field=flask.request.form["field"], sha256=hashlib.sha256(upload).hexdigest())


@app.get("/async-view")
async def async_view() -> str:
    return await where_am_i()


@app.get("/async-client")
async def async_client() -> flask.Response:
    """Call this same server and say which connection was used for it."""
    answer = await api_client.get(flask.request.host_url + "report")
    return flask.jsonify(port=answer.json()["REMOTE_PORT"])


@app.get("/async-stream")
async def async_stream() -> flask.Response:
    return flask.Response((f"chunk {number}\n" for number in range(3)), mimetype="text/plain")


@app.get("/fails")
def fails() -> str:
    raise ValueError("in a view")
