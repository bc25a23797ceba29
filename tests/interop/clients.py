"""The clients of the interop tests, each a process on a leash. All speak the same commands and events (slixmpp_client.py);
waiting for an event ends with it, with the client's failure, or at a deadline.
"""

import contextlib
import json
import os
import pathlib
import queue
import re
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as xml

FOLDER = pathlib.Path(__file__).resolve().parent
PYTHON = FOLDER.parent.parent / ".tools/venv/bin/python"
LOG = FOLDER.parent.parent / "target/interop-clients.log"  # what the scripts write to standard error
PATIENCE = 30  # seconds for any one event

TLS_NAMES = {"starttls": "STARTTLS", "direct": "direct TLS"}


class Failure(Exception):
    """What a client should have seen, and what it saw."""


class Client:
    """A client process: `start` begins it, `perform` gives it a command, `tell` hands in what it reports."""

    name = ""

    def __init__(self, login, tls):
        self.jid, self.password, self.ca, self.tls = login["jid"], login["password"], login["ca"], tls
        self.host, port = login["addresses"][tls].rsplit(":", 1)
        self.port = int(port)
        self.process, self.seen, self.events = None, [], queue.Queue()

    def __str__(self):
        return f"{self.name} ({TLS_NAMES[self.tls]})"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()

    def restart(self):
        """Ends the process and begins another, which has seen nothing."""
        self.end()
        self.seen, self.events = [], queue.Queue()
        self.start()

    def login(self):
        """Waits until the session is up; TLS must have been negotiated."""
        online = self.expect("online")
        if not str(online["tls"]).startswith("TLS"):
            raise Failure(f"{self} is online without TLS")

    def refuse(self):
        """Waits for the client's refusal to go on."""
        event = self.next(time.monotonic() + PATIENCE)
        if event["event"] != "failed":
            raise Failure(f"expected a refusal, saw {event}")

    def do(self, what, **with_):
        self.perform({"do": what, **with_})

    def move(self, address):
        """Has it go to another edge once its connection ends."""
        host, port = address.rsplit(":", 1)
        self.do("move", host=host, port=int(port))

    def expect(self, kind, within=PATIENCE, **fields):
        """Returns the first event of this kind and these fields; `bool` as a value stands for anything that is true."""
        deadline = time.monotonic() + within
        for event in [*self.seen]:
            if matches(event, kind, fields):
                self.seen.remove(event)
                return event
        while True:
            event = self.next(deadline, f"{kind} {fields}")
            if matches(event, kind, fields):
                return event
            if event["event"] == "failed":
                raise Failure(f"{self}: {event['why']}")
            self.seen.append(event)

    def next(self, deadline, wanted="any event"):
        try:
            return self.events.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise Failure(f"{self} waited in vain for {wanted}; it saw {self.seen}") from None


def matches(event, kind, fields):
    fits = lambda value, wanted: bool(value) if wanted is bool else value == wanted
    return event["event"] == kind and all(fits(event.get(name), wanted) for name, wanted in fields.items())


class Scripted(Client):
    """A client that is a script of ours around a library: JSON lines in, JSON lines out."""

    command = []

    def start(self):
        environment = {**os.environ, "NODE_EXTRA_CA_CERTS": self.ca}
        LOG.parent.mkdir(exist_ok=True)
        with LOG.open("a") as log:
            self.process = self.begin(environment, log)
        login = {"jid": self.jid, "password": self.password, "host": self.host, "port": self.port}
        self.perform({**login, "tls": self.tls, "ca": self.ca})
        threading.Thread(target=self.listen, args=(self.process, self.events), daemon=True).start()

    def begin(self, environment, log):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1)
        return subprocess.Popen(self.command, env=environment, **pipes)

    def perform(self, command):
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
        except BrokenPipeError:
            raise Failure(f"{self} has ended") from None

    @staticmethod
    def listen(process, events):
        for line in process.stdout:
            events.put(json.loads(line))
        events.put({"event": "failed", "why": f"ended with code {process.wait()}"})

    def end(self):
        """Logs out: what is killed instead may come back, and until then the server keeps its session (XEP-0198)."""
        with contextlib.suppress(Failure, OSError, subprocess.TimeoutExpired):
            self.do("quit")
            self.process.wait(timeout=3)
        self.process.kill()
        self.process.wait()


class Slixmpp(Scripted):
    name = "slixmpp"
    command = [PYTHON, FOLDER / "slixmpp_client.py"]


class XmppJs(Scripted):
    name = "xmpp.js"
    command = ["node", FOLDER / "node/client.js"]


class Profanity(Client):
    """The terminal client, driven by keys under tmux. What it sees comes from its debug log, which is a pipe to us."""

    name = "profanity"

    KEYS = {
        "subscribe": "/sub request {to}",
        "subscribed": "/sub allow {to}",
        "say": "/msg {to} {body}",
        "forget": "/roster remove {to}",
        "quit": "/quit",
    }

    def start(self):
        self.home = tempfile.TemporaryDirectory()
        home = pathlib.Path(self.home.name)
        self.configure(home)
        os.mkfifo(home / "log")
        self.listener = threading.Thread(target=self.listen, args=(home / "log", self.events), daemon=True)
        self.listener.start()
        environment = {**os.environ, "SSL_CERT_FILE": self.ca, "LANG": "C.UTF-8", "TERM": "screen"}
        environment |= {"XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data")}
        self.tmux = ["tmux", "-f", "/dev/null", "-S", str(home / "tmux")]
        shell = f"exec profanity --log DEBUG --logfile {home}/log --account me 2>{home}/errors"
        subprocess.run([*self.tmux, "new-session", "-d", "-x", "120", "-y", "40", shell], env=environment, check=True)

    def configure(self, home):
        (home / "config/profanity").mkdir(parents=True)
        (home / "data/profanity").mkdir(parents=True)
        (home / "config/profanity/profrc").write_text("[ui]\nsplash=false\n")
        user = f"jid={self.jid}\npassword={self.password}\nresource=profanity\n"
        policy = "force" if self.tls == "starttls" else "legacy"
        server = f"server={self.host}\nport={self.port}\ntls.policy={policy}\n"
        account = f"[me]\nenabled=true\npresence.login=online\n{user}{server}"
        (home / "data/profanity/accounts").write_text(account)

    def perform(self, command):
        line = self.KEYS[command["do"]].format(**command)
        for keys in (["-l", line], ["Enter"]):
            subprocess.run([*self.tmux, "send-keys", *keys], check=True, stderr=subprocess.DEVNULL)

    @staticmethod
    def listen(log, events):
        verified = False
        with log.open(errors="replace") as lines:
            for line in lines:
                verified |= "Certificate verification passed" in line
                if "Certificate verification failed" in line:
                    events.put({"event": "failed", "why": line.strip()})
                if found := re.search(r" RECV: (<(?:iq|message|presence)\b.*)$", line):
                    for event in observed(xml.fromstring(found[1]), verified):
                        events.put(event)
        events.put({"event": "failed", "why": "profanity has ended"})

    def end(self):
        """Logs out, as Scripted.end does: the end of the log is that of the process."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.do("quit")
            self.listener.join(timeout=3)
        subprocess.run([*self.tmux, "kill-server"], check=False, stderr=subprocess.DEVNULL)
        self.home.cleanup()


def observed(stanza, verified):
    """The events that a stanza as profanity logs it stands for. Its log leaves the stream's own namespace out."""
    sender = stanza.get("from", "").split("/")[0]
    name, kind = stanza.tag.split("}")[-1], stanza.get("type")
    if name == "presence":
        yield {"event": "presence", "from": sender, "type": kind or "available"}
    elif name == "message" and (body := stanza.find("body")) is not None:
        delay = stanza.find("{urn:xmpp:delay}delay")
        yield {"event": "message", "from": sender, "body": body.text, "delay": delay.get("stamp") if delay is not None else None}
    elif (query := stanza.find("{jabber:iq:roster}query")) is not None and kind == "result":
        yield {"event": "online", "tls": "TLS" if verified else "none"}
    elif query is not None and kind == "set":
        for item in query:
            yield {"event": "roster", "jid": item.get("jid"), "subscription": item.get("subscription")}
