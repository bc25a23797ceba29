//! The language of conformance scripts: who connects, sends, receives, and what must not arrive.
//!
//! ```text
//! spec  RFC 6121, 8.5.3.1: a full address that is there
//! users juliet@capulet.example (balcony, chamber later), romeo@montague.example (orchard)
//! friends juliet romeo
//!
//! romeo/orchard    sends     <message to='juliet@capulet.example/balcony' type='chat'><body>Soft!</body></message>
//! juliet/balcony   receives  <message from='romeo@montague.example/orchard'><body>Soft!</body></message>
//! juliet/balcony   receives  nothing more
//! ```
//!
//! Accounts come and go, too: `juliet is removed`, `juliet is created`. Who has none yet is a stranger, `strangers
//! paris@montague.example (tomb later)`, and may be invited: `paris is invited`, `paris is invited as paris` (for that name),
//! `paris is invited by romeo`. In elements, `(token of paris)` is what the invitation was given, and `(name of paris)` the name without
//! domain of somebody in this run.
//!
//! What stands at `$name` in a value that is received is noted, and stands for the same wherever it comes again.
//!
//! A line that begins with white space goes on with the step before it; `#` begins a comment line. Sessions are logged in from
//! the start unless marked `later`. Further verbs:
//!
//! ```text
//! juliet/balcony   gets      <presence/>                  some element, whatever else has come
//! juliet/balcony   asks      <iq/> until <iq/>            again and again, until the answer looks like that
//! juliet/balcony   logs in, logs out, drops
//! juliet/balcony   resumes                                over a new connection what it dropped (XEP-0198); the answer is read next
//! mallory          opens     capulet.example              a stream, without logging in
//! juliet/balcony   authenticates with <authenticate xmlns='urn:xmpp:sasl:2'>…</authenticate>
//!                                                         over a new connection, by SCRAM or with the token it was given
//!                                                         (mechanism='HT-…'); the last word is read next. `<resume/>` is
//!                                                         of the session that it dropped
//! mallory          authenticates as juliet with another nonce   (or binding, or nothing) by SCRAM
//! weather          connects as weather.capulet.example          an external component (XEP-0114), which is let in
//! weather          shakes hands as echo.capulet.example with SECRET     the same, and the server's verdict is read next
//! mallory          connects, writes BYTES, is closed, is closed with <error/>
//! server           counts    dunlin_edge_stream_errors_total{condition="invalid-from"}
//! ```

use xml::{Element, Limits};

/// A whole script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it proves: specification and section.
    pub spec: String,
    /// The accounts.
    pub users: Vec<User>,
    /// Those who have no account at first.
    pub strangers: Vec<User>,
    /// Pairs of users that are subscribed to each other before the first step.
    pub friends: Vec<(String, String)>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// How the script calls it.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// Its resources, and whether each is there from the start.
    pub resources: Vec<(String, bool)>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Line in the script, from 1.
    pub line: usize,
    /// Who: `name/resource`, a user's name, or any word for a connection that does not log in.
    pub who: String,
    /// What.
    pub action: Action,
}

/// What a session does or sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends an element.
    Sends(Element),
    /// The next element that arrives looks like this.
    Receives(Element),
    /// Some element that has arrived or arrives looks like this; others stay where they are.
    Gets(Element),
    /// Sends the first until the answer looks like the second.
    AsksUntil(Element, Element),
    /// Nothing has arrived, and nothing is on its way.
    ReceivesNothing,
    /// Logs in and binds its resource.
    LogsIn,
    /// Closes its stream in good order.
    LogsOut,
    /// Loses its connection.
    Drops,
    /// Asks over a new connection to go on with the session that it dropped.
    Resumes,
    /// Connects and opens a stream to this domain without logging in.
    Opens(String),
    /// Connects without a word.
    Connects,
    /// Connects as the external component of this domain.
    ConnectsAs(String),
    /// Connects as a component of this domain, with this secret, and leaves the server's verdict to be read.
    ShakesHands(String, String),
    /// Writes these bytes.
    Writes(Vec<u8>),
    /// Authenticates by SCRAM as this user and leaves the server's verdict to be read.
    Authenticates(String, Tampering),
    /// Authenticates under SASL2 over a new connection, with these wishes, and leaves the server's last word to be read.
    AuthenticatesWith(Element),
    /// A counter of the server has risen since the script began, or since it was last looked at. Not checked where the stage
    /// has no `/metrics`.
    Counts(String),
    /// The stream ends, after an element that looks like this if given.
    IsClosed(Option<Element>),
    /// The user's account is created again.
    IsCreated,
    /// The user's account is removed.
    IsRemoved,
    /// The user gets an invitation to register at its domain.
    IsInvited(Invitation),
}

/// What an invitation is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invitation {
    /// The only name that it is for.
    pub user: Option<String>,
    /// Who becomes a contact.
    pub contact: Option<String>,
}

/// What is wrong with a SCRAM client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// Its last message claims another channel binding than its first.
    Binding,
    /// Its last message bears another nonce.
    Nonce,
    /// Nothing.
    None,
}

/// Why a script cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut script = Self {
            spec: String::new(),
            users: Vec::new(),
            strangers: Vec::new(),
            friends: Vec::new(),
            steps: Vec::new(),
        };
        for (line, text) in logical_lines(text) {
            script.line(line, &text).map_err(|reason| Unreadable { line, reason })?;
        }
        match (script.spec.is_empty(), script.steps.is_empty()) {
            (false, false) => Ok(script),
            (true, _) => Err(Unreadable {
                line: 1,
                reason: "no spec line".to_owned(),
            }),
            (_, true) => Err(Unreadable {
                line: 1,
                reason: "no steps".to_owned(),
            }),
        }
    }

    fn line(&mut self, line: usize, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(char::is_whitespace).ok_or("a word alone")?;
        let rest = rest.trim();
        match word {
            "spec" => rest.clone_into(&mut self.spec),
            "users" => self.users = users(rest)?,
            "strangers" => self.strangers = users(rest)?,
            "friends" => {
                let (one, other) = rest.split_once(' ').ok_or("friends are two")?;
                self.friends.push((one.to_owned(), other.trim().to_owned()));
            }
            who => self.steps.push(Step {
                line,
                who: who.to_owned(),
                action: action(rest)?,
            }),
        }
        Ok(())
    }
}

/// Joins continued lines; leaves out comments and empty ones.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with(char::is_whitespace) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push((at + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

/// `juliet@capulet.example (balcony, chamber later), romeo@montague.example (orchard)`
fn users(text: &str) -> Result<Vec<User>, String> {
    let one = |text: &str| {
        let (jid, resources) = text.split_once('(').ok_or("a user without resources")?;
        let (name, domain) = jid.trim().split_once('@').ok_or("a user without @")?;
        let resource = |text: &str| match text.trim().strip_suffix(" later") {
            Some(resource) => (resource.trim().to_owned(), false),
            None => (text.trim().to_owned(), true),
        };
        let resources = resources.split(',').map(resource).collect();
        Ok(User {
            name: name.to_owned(),
            domain: domain.to_owned(),
            resources,
        })
    };
    text.split(')')
        .map(|part| part.trim_start_matches([',', ' ']))
        .filter(|part| !part.is_empty())
        .map(one)
        .collect()
}

fn action(text: &str) -> Result<Action, String> {
    let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match (verb, rest) {
        ("sends", xml) => Ok(Action::Sends(element(xml)?)),
        ("asks", rest) => {
            let (request, answer) = rest.split_once(" until ").ok_or("asks REQUEST until ANSWER")?;
            Ok(Action::AsksUntil(element(request)?, element(answer.trim())?))
        }
        ("receives", "nothing more") => Ok(Action::ReceivesNothing),
        ("receives", xml) => Ok(Action::Receives(element(xml)?)),
        ("gets", xml) => Ok(Action::Gets(element(xml)?)),
        ("logs", "in") => Ok(Action::LogsIn),
        ("logs", "out") => Ok(Action::LogsOut),
        ("drops", "") => Ok(Action::Drops),
        ("resumes", "") => Ok(Action::Resumes),
        ("connects", "") => Ok(Action::Connects),
        ("connects", rest) => match rest.strip_prefix("as ") {
            Some(domain) => Ok(Action::ConnectsAs(domain.to_owned())),
            None => Err(format!("unknown: connects {rest}")),
        },
        ("shakes", rest) => {
            let rest = rest.strip_prefix("hands as ").ok_or("shakes hands as DOMAIN")?;
            let (domain, secret) = rest.split_once(" with ").ok_or("shakes hands as DOMAIN with SECRET")?;
            Ok(Action::ShakesHands(domain.to_owned(), secret.to_owned()))
        }
        ("opens", domain) => Ok(Action::Opens(domain.to_owned())),
        ("counts", series) => Ok(Action::Counts(series.to_owned())),
        ("authenticates", rest) => authenticates(rest),
        ("writes", bytes) => Ok(Action::Writes(unescape(bytes)?)),
        ("is", "closed") => Ok(Action::IsClosed(None)),
        ("is", "created") => Ok(Action::IsCreated),
        ("is", "removed") => Ok(Action::IsRemoved),
        ("is", rest) if rest.starts_with("invited") => invited(&rest["invited".len()..]),
        ("is", rest) => match rest.strip_prefix("closed with ") {
            Some(xml) => Ok(Action::IsClosed(Some(element(xml)?))),
            None => Err(format!("unknown: is {rest}")),
        },
        (verb, _) => Err(format!("unknown verb: {verb}")),
    }
}

/// Nothing, `as paris`, `by romeo`, or both.
fn invited(text: &str) -> Result<Action, String> {
    let mut invitation = Invitation::default();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let name = words.next().map(str::to_owned).ok_or("is invited WORD NAME")?;
        match word {
            "as" => invitation.user = Some(name),
            "by" => invitation.contact = Some(name),
            word => return Err(format!("unknown: is invited {word}")),
        }
    }
    Ok(Action::IsInvited(invitation))
}

/// `with <authenticate/>`, `as juliet`, `as juliet with another nonce`, `as juliet with another binding`
fn authenticates(text: &str) -> Result<Action, String> {
    if let Some(xml) = text.strip_prefix("with ") {
        return Ok(Action::AuthenticatesWith(element(xml.trim())?));
    }
    let rest = text.strip_prefix("as ").ok_or("authenticates as USER")?;
    let (user, how) = rest.split_once(' ').unwrap_or((rest, ""));
    let tampering = match how.trim() {
        "" => Tampering::None,
        "with another nonce" => Tampering::Nonce,
        "with another binding" => Tampering::Binding,
        how => return Err(format!("unknown: {how}")),
    };
    Ok(Action::Authenticates(user.to_owned(), tampering))
}

fn element(text: &str) -> Result<Element, String> {
    Element::parse(text.as_bytes(), "jabber:client", &Limits::default()).map_err(|error| format!("{error}: {text}"))
}

/// `\n`, `\r`, `\t`, `\\`, `\xHH`, and `{N*text}` for repetition.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (bytes, used) = match first {
            '\\' => escape(rest)?,
            '{' => repetition(rest)?,
            other => (other.to_string().into_bytes(), other.len_utf8()),
        };
        out.extend(bytes);
        rest = &rest[used..];
    }
    Ok(out)
}

fn escape(text: &str) -> Result<(Vec<u8>, usize), String> {
    let simple = |byte: u8| Ok((vec![byte], 2));
    match text.as_bytes().get(1) {
        Some(b'n') => simple(b'\n'),
        Some(b'r') => simple(b'\r'),
        Some(b't') => simple(b'\t'),
        Some(b'\\') => simple(b'\\'),
        Some(b'{') => simple(b'{'),
        Some(b'x') => {
            let hex = text.get(2..4).ok_or("\\x needs two digits")?;
            Ok((vec![u8::from_str_radix(hex, 16).map_err(|error| error.to_string())?], 4))
        }
        _ => Err(format!("unknown escape: {text}")),
    }
}

fn repetition(text: &str) -> Result<(Vec<u8>, usize), String> {
    let end = text.find('}').ok_or("{ without }")?;
    let (count, what) = text[1..end].split_once('*').ok_or("{N*text}")?;
    let count: usize = count.parse().map_err(|_| "{N*text}")?;
    Ok((unescape(what)?.repeat(count), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_whole() {
        let script = Script::parse(
            "spec  RFC 6121, 5\nusers a@x (one, two later), b@y (three)\nfriends a b\n\n# a comment\na/one sends <message\n   to='b@y'/>\n\
             b/three receives nothing more\nc writes <a>{3*\\x41}\n",
        )
        .unwrap();
        assert_eq!(script.spec, "RFC 6121, 5");
        assert_eq!(
            script.users[0].resources,
            [("one".to_owned(), true), ("two".to_owned(), false)]
        );
        assert_eq!(script.users[1].domain, "y");
        assert_eq!(script.steps.len(), 3);
        assert_eq!(script.steps[2].action, Action::Writes(b"<a>AAA".to_vec()));
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        for (text, line) in [
            ("spec x\nguest authenticates as juliet with nothing\n", 2),
            ("spec x\nusers a@x (r)\na/r dances now\n", 3),
            ("spec x\nusers ax (r)\n", 2),
            ("users a@x (r)\na/r drops\n", 1),
        ] {
            assert_eq!(Script::parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
