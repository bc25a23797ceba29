// An xmpp.js client on a leash: the same commands and events, line by line, as slixmpp_client.py beside this folder.
// NODE_EXTRA_CA_CERTS names the CA; Node verifies every certificate against it.

import { webcrypto } from "node:crypto";
import dns from "node:dns";
import readline from "node:readline";
import { client, xml } from "@xmpp/client";

globalThis.crypto ??= webcrypto; // Node 18 does not have it there

const tell = (event, fields) => console.log(JSON.stringify({ event, ...fields }));
const bare = (address) => (address ?? "").split("/")[0];

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const login = JSON.parse((await lines.next()).value);
const [username, domain] = login.jid.split("@");

// The service is named by its domain, so that the certificate is checked for it, and looked up as the address given.
dns.lookup = (_, options, answer) => {
  const done = answer ?? options;
  if (options.all) done(null, [{ address: login.host, family: 4 }]);
  else done(null, login.host, 4);
};

const scheme = login.tls === "direct" ? "xmpps" : "xmpp";
const serviceAt = (port) => `${scheme}://${domain}:${port}`;
const service = serviceAt(login.port);
const timeout = 20_000; // its SCRAM takes seconds on a busy machine
const xmpp = client({ service, domain, resource: "xmppjs", username, password: login.password, timeout });
xmpp.reconnect.stop();

// xmpp.js 0.14 does not count the answers to its requests (XEP-0198, 4): its iqCaller takes them before its stream management sees them. So the
// server rightly sent again, or kept for the next session, the last stanzas that the client had.
xmpp.prependListener("element", (stanza) => {
  const isAnswer = stanza.is("iq") && ["result", "error"].includes(stanza.attrs.type);
  if (isAnswer && xmpp.iqCaller.handlers.has(stanza.attrs.id)) xmpp.streamManagement.inbound += 1;
});

let moving = false; // then the connection may break
xmpp.on("error", (why) => moving || tell("failed", { why: String(why) }));
xmpp.streamManagement.on("resumed", () => {
  moving = false;
  xmpp.reconnect.stop();
  tell("resumed", {});
});
xmpp.on("stanza", (stanza) => {
  if (stanza.is("presence")) onPresence(stanza);
  if (stanza.is("message") && stanza.getChildText("body")) onMessage(stanza);
});
xmpp.iqCallee.set("jabber:iq:roster", "query", ({ element }) => {
  const [item] = element.getChildren("item");
  tell("roster", { jid: item.attrs.jid, subscription: item.attrs.subscription });
  return true;
});

// Logins under SASL2 (XEP-0388): by which mechanism, and what came with them.
let mechanism = null;
xmpp.on("send", (element) => {
  if (element.is("authenticate", "urn:xmpp:sasl:2")) mechanism = element.attrs.mechanism;
});
xmpp.on("element", (element) => {
  if (!element.is("success", "urn:xmpp:sasl:2")) return;
  const has = (name, ns) => element.getChild(name, ns) !== undefined;
  const [bound, resumed] = [has("bound", "urn:xmpp:bind:0"), has("resumed", "urn:xmpp:sm:3")];
  tell("authenticated", { mechanism, bound, resumed, token: has("token", "urn:xmpp:fast:0") });
});

function onPresence(presence) {
  tell("presence", { from: bare(presence.attrs.from), type: presence.attrs.type ?? "available" });
}

function onMessage(message) {
  const delay = message.getChild("delay", "urn:xmpp:delay");
  const body = message.getChildText("body");
  tell("message", { from: bare(message.attrs.from), body, delay: delay?.attrs.stamp ?? null });
}

async function obey({ do: what, to, body, host, port }) {
  if (what === "subscribe" || what === "subscribed") {
    await xmpp.send(xml("presence", { to, type: what }));
  } else if (what === "say") {
    await xmpp.send(xml("message", { to, type: "chat", id: String(Date.now()) }, xml("body", {}, body)));
  } else if (what === "sync") {
    // Any answer will do: it comes after everything that this session sent before.
    await xmpp.iqCaller.get(xml("ping", "urn:xmpp:ping"), to, 20_000).catch(() => {});
    tell("synced", {});
  } else if (what === "move") {
    // It goes there once the connection ends.
    login.host = host;
    xmpp.options.service = serviceAt(port);
    moving = true;
    xmpp.reconnect.start();
  } else if (what === "forget") {
    const item = xml("item", { jid: to, subscription: "remove" });
    await xmpp.iqCaller.set(xml("query", "jabber:iq:roster", item));
  } else if (what === "drop") {
    // The connection goes without a word, and another takes its place.
    const gone = new Promise((done) => xmpp.once("disconnect", done));
    xmpp.socket.socket.destroy();
    await gone;
    // It may wait in vain for a stream that was answered before it listened: what counts is what the server says.
    xmpp.reconnect.reconnect().catch(() => {});
  } else if (what === "quit") {
    await xmpp.stop();
    process.exit(0);
  } else {
    throw new Error(`unknown command: ${what}`);
  }
}

xmpp.on("online", async (jid) => {
  await xmpp.iqCaller.get(xml("query", "jabber:iq:roster"));
  await xmpp.send(xml("presence"));
  tell("online", { jid: jid.toString(), tls: xmpp.socket.socket.getProtocol() });
});
xmpp.start().catch((why) => tell("failed", { why: String(why) }));

for await (const line of lines) await obey(JSON.parse(line));
