"""The embedded Prefect server in a browser: foreign pages get nothing, its own UI all it needs."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from deployments.names import PRUNE_DEPLOYMENT
from deployments.stack.prefect import open_prefect_client
from tests.support.http_server import QuietHandler, serve_http
from tests.support.waiting import wait_until

LIMIT_S = 120
NEVER = "2099-01-01T00:00:00Z"
FOREIGN = "foreign"  # what every run is called that a foreign page asks for

# Each way is tried by itself; told is what the page could read, with the status where it has one.
ATTACK = """
async ({ api, deployment, name }) => {
  const read = [];
  const ask = async (way, path, options = {}) => {
    try {
      const answer = await fetch(`${api}${path}`, options);
      read.push([way, answer.status, await answer.text()]);
    } catch (error) { read.push([way, 0, ""]); }
  };
  const start = `/deployments/${deployment}/create_flow_run`;
  const run = (way) => JSON.stringify({ name: `${name} ${way}`, parameters: {},
    job_variables: { command: "python -c 1", working_dir: "/tmp" } });
  const typed = (type) => ({ "Content-Type": type });
  const query = { method: "POST", headers: typed("application/json"), body: "{}" };
  await ask("deployments", "/deployments/filter", query);
  await ask("one deployment", `/deployments/${deployment}`);
  await ask("settings", "/admin/settings");
  await ask("token", "/csrf-token?client=foreign");
  for (const type of ["application/json", "text/plain", "application/x-www-form-urlencoded"]) {
    await ask(type, start, { method: "POST", headers: typed(type), body: run(type) });
  }
  // Without a type no preflight is asked for, and Prefect takes it for JSON.
  await ask("untyped", start, { method: "POST", body: new Blob([run("untyped")]) });
  await ask("no-cors", start,
    { method: "POST", mode: "no-cors", credentials: "include", body: new Blob([run("no-cors")]) });
  await ask("own token", start, { method: "POST", body: run("own token"),
    headers: { "Prefect-Csrf-Token": "1", "Prefect-Csrf-Client": "1" } });
  navigator.sendBeacon(`${api}${start}`, new Blob([run("beacon")]));
  const listen = (path, protocols) => new Promise((done) => {
    const heard = [];
    const socket = new WebSocket(`${api.replace("http", "ws")}${path}`, protocols);
    const over = () => done(heard);
    socket.onopen = () => {
      if (protocols.length) socket.send(JSON.stringify({ type: "auth", token: "guess" }));
      socket.send(JSON.stringify({ type: "filter", filter: {} }));
    };
    socket.onmessage = (message) => heard.push(message.data);
    socket.onclose = over;
    setTimeout(over, 3000);
  });
  const heard = [];
  for (const path of ["/events/out", "/logs/out", "/events/in"]) {
    heard.push(...await listen(path, ["prefect"]), ...await listen(path, []));
  }
  return { read, heard };
}
"""


class ForeignPage(QuietHandler):
    """A page of somebody else's."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self.answer(200, b"<title>Cats</title>", [("Content-Type", "text/html")])


@pytest.fixture
def prefect(stack_environment: dict[str, str]) -> Iterator[httpx.Client]:
    """The server, for whom it answers."""
    with open_prefect_client(stack_environment, timeout_s=30) as client:
        yield client


@pytest.fixture
def deployment(prefect: httpx.Client) -> str:
    """The id of a deployment whose runs take no parameters and harm nothing."""
    return str(prefect.get(f"deployments/name/{PRUNE_DEPLOYMENT}").raise_for_status().json()["id"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new browser's only page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    yield opened
    context.close()


@pytest.fixture
def make_run(prefect: httpx.Client, deployment: str) -> Callable[[str], str]:
    """A run of the deployment in a state: make_run("FAILED") is its id."""

    def make(state: str) -> str:
        later = {"type": "SCHEDULED", "state_details": {"scheduled_time": NEVER}}
        path = f"deployments/{deployment}/create_flow_run"
        run = prefect.post(path, json={"state": later}).raise_for_status().json()["id"]
        body = {"state": {"type": state}, "force": True}
        prefect.post(f"flow_runs/{run}/set_state", json=body).raise_for_status()
        return str(run)

    return make


def list_runs(prefect: httpx.Client, deployment: str) -> list[dict[str, Any]]:
    """The deployment's runs, newest first."""
    body = {"deployments": {"id": {"any_": [deployment]}}, "sort": "ID_DESC"}
    found: list[dict[str, Any]] = prefect.post("flow_runs/filter", json=body).json()
    return found


def read_state(prefect: httpx.Client, run: str) -> str:
    """A run's state, in Prefect's word."""
    return str(prefect.get(f"flow_runs/{run}").raise_for_status().json()["state"]["type"])


def attack(page: Page, address: str, prefect: httpx.Client, deployment: str) -> dict[str, Any]:
    """What a page of this address, open in the operator's browser, gets out of the server."""
    page.goto(address)
    api = str(prefect.base_url).rstrip("/")
    if urlsplit(address).port == urlsplit(api).port:
        api = f"{address}/api"  # by the foreign name: to the browser the page's own server
    told = page.evaluate(ATTACK, {"api": api, "deployment": deployment, "name": FOREIGN})
    return dict(told)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_reads_nothing_and_starts_nothing(
    page: Page, prefect: httpx.Client, deployment: str, name: str
) -> None:
    with serve_http(ForeignPage) as url:
        told = attack(page, url.replace("127.0.0.1", name), prefect, deployment)
    assert [one for one in told["read"] if one[1] or one[2]] == []
    assert told["heard"] == []
    assert [run["name"] for run in list_runs(prefect, deployment) if FOREIGN in run["name"]] == []


def test_a_foreign_name_for_the_server_itself_opens_nothing(
    page: Page, prefect: httpx.Client, deployment: str
) -> None:
    told = attack(page, f"http://rebound.example:{prefect.base_url.port}", prefect, deployment)
    assert {status for way, status, _ in told["read"] if way != "no-cors"} == {401, 403}
    assert [text for _, _, text in told["read"] if deployment in text] == []
    assert told["heard"] == []
    assert [run["name"] for run in list_runs(prefect, deployment) if FOREIGN in run["name"]] == []


def test_the_ui_lets_in_who_knows_the_password_and_then_does_all_it_did(
    page: Page,
    prefect: httpx.Client,
    stack_environment: dict[str, str],
    deployment: str,
    make_run: Callable[[str], str],
) -> None:
    ui = str(prefect.base_url).removesuffix("/api/")
    failed, running = make_run("FAILED"), make_run("RUNNING")

    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))

    page.goto(ui)
    page.get_by_placeholder("admin:pass").fill("facepass:guess")
    page.get_by_role("button", name="Login").click()
    expect(page.get_by_text("Authentication failed").last).to_be_visible()
    page.get_by_placeholder("admin:pass").fill(stack_environment["PREFECT_API_AUTH_STRING"])
    page.get_by_role("button", name="Login").click()

    # Kept by the browser.
    page.wait_for_url(f"{ui}/dashboard")
    page.goto(f"{ui}/runs/flow-run/{failed}")
    choose(page, "Retry", "Retry")
    wait_until(lambda: read_state(prefect, failed) == "COMPLETED", LIMIT_S)

    page.goto(f"{ui}/runs/flow-run/{running}")
    choose(page, "Cancel", "Confirm")
    wait_until(lambda: read_state(prefect, running) in {"CANCELLING", "CANCELLED"}, LIMIT_S)

    before = {run["id"] for run in list_runs(prefect, deployment)}
    page.goto(f"{ui}/deployments/deployment/{deployment}/run")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("button", name="View run").last).to_be_visible()
    (started,) = [one for one in list_runs(prefect, deployment) if one["id"] not in before]
    wait_until(lambda: read_state(prefect, started["id"]) == "COMPLETED", LIMIT_S)
    assert hosts - {""} == {urlsplit(ui).netloc}  # nobody else hears of it; "": data in pages


def choose(page: Page, action: str, confirmation: str) -> None:
    """Press it on the run's page, and confirm."""
    page.get_by_role("button", name=action, exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name=confirmation).last.click()
