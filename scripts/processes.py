"""Processes of their own on this machine: started on free loopback ports, waited for, and ended by the ids that were written down."""

import os
import pathlib
import pwd
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE = 60  # seconds for any one process to get ready, or to end


def postgres(log):
    """A database server with a database `dunlin` of the user `dunlin`, nothing of it kept for longer than its folder."""
    programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    addr, (folder, user) = address(), foreign_folder("postgres")
    host, port = addr.split(":")
    run = lambda *line: subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL, **user)
    run(programs / "initdb", "--pgdata", folder / "data", "--username", "dunlin", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
    line = [str(programs / "postgres"), "-D", str(folder / "data"), "-h", host, "-p", port, "-k", str(folder)]
    line += ["-c", "max_connections=200", "-c", "fsync=off"]
    database = {**spawn("postgres", log, line, cwd=folder, **user), "addr": addr, "folder": str(folder)}
    probe = [programs / "pg_isready", "--quiet", "--host", host, "--port", port]
    await_ready("postgres", database, lambda: subprocess.run(probe).returncode == 0)
    run(programs / "createdb", "--host", host, "--port", port, "--username", "dunlin", "dunlin")
    return database


def foreign_folder(name):
    """A temporary folder of the system user NAME and what makes a process his, for servers that refuse to run as root; their user may not
    reach this tree. Without root all is our own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"dunlin-{name}-"))
    if os.geteuid() != 0:
        return folder, {}
    entry = pwd.getpwnam(name)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder, {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def raise_file_limit():
    """As many connections as this machine lets a process have; what is started inherits it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def spawn(name, log, line, **options):
    """Starts a process that outlives this one; its start time guards against another that gets its id later."""
    with open(log, "ab") as output:
        pipes = dict(stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        process = subprocess.Popen(line, start_new_session=True, **pipes, **options)
    return {"pid": process.pid, "began": began(process.pid), "name": name, "log": str(log)}


def await_ready(name, process, is_ready):
    deadline = time.monotonic() + PATIENCE
    while not is_ready():
        if not is_ours(process):
            sys.exit(f"{name} has ended; see {process['log']}")
        if time.monotonic() > deadline:
            sys.exit(f"{name} is not ready after {PATIENCE} s; see {process['log']}")
        time.sleep(0.05)


def end(group, polite):
    """Signals all, waits for all, and kills what does not go."""
    living = [process for process in group if is_ours(process)]
    for process in living:
        os.kill(process["pid"], polite)
    deadline = time.monotonic() + PATIENCE
    for process in living:
        while is_ours(process) and time.monotonic() < deadline:
            time.sleep(0.05)
        if is_ours(process):
            print(f"{process['name']} does not go; killing it")
            os.kill(process["pid"], signal.SIGKILL)


def is_ours(process):
    return bool(process.get("pid")) and began(process["pid"]) == process["began"]


def began(pid):
    """When a process was started, in the kernel's ticks; `None` when it has ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


given_away = set()


def address():
    """A free loopback address, no two alike."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in given_away:
            given_away.add(port)
            return f"127.0.0.1:{port}"
