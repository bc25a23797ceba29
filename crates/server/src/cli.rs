//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Role;

/// Dunlin, a clustered XMPP server.
#[derive(Debug, Parser)]
#[command(name = "dunlin", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Serve),
    /// Run a throw-away server with two accounts, to try things out.
    Demo(Demo),
    /// Bring the database's schema up to date (a cluster does not do it by itself).
    Migrate(ConfigFile),
    /// List the cluster's nodes and take one out of service; works beside a running cluster, with a router's configuration.
    #[command(subcommand)]
    Node(Node),
    /// Add, change, remove and list accounts; works beside a running server.
    #[command(subcommand)]
    User(User),
    /// Make, list and take back invitations to register (XEP-0401); works beside a running server.
    #[command(subcommand)]
    Invite(Invite),
    /// Check and explain the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write the generated documents, or check that they are fresh.
    #[command(hide = true)]
    Docs(Docs),
}

/// Which configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// Configuration file (TOML). Environment variables `DUNLIN_SECTION__KEY` override it. Default: built-in defaults.
    #[arg(short, long, env = "DUNLIN_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `dunlin serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Which configuration.
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// What this process does, instead of `roles` in the configuration.
    #[arg(long, value_enum)]
    pub(crate) role: Option<RoleChoice>,
    /// Write addresses and process id to this file, as JSON, once clients can log in.
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
}

/// Roles on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RoleChoice {
    /// Client connections only.
    Edge,
    /// Accounts and routing only.
    Router,
    /// Both in one process.
    All,
}

/// `dunlin demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Also write endpoints and credentials to this file, as JSON, once clients can log in.
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Keep the data in this folder instead of one that is removed at the end.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// The domain.
    #[arg(long, default_value = "localhost")]
    pub(crate) domain: String,
}

/// `dunlin node …`
#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// List the nodes that live: id, role, epoch, state, slots, version, address.
    List {
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Ask a node to drain as on SIGTERM, and to end: an edge closes its sessions one after another, a router gives its slots to the others.
    Drain {
        /// The node's id. A process that is edge and router drains as a whole, whichever of its two ids this is.
        id: String,
        /// Wait until it has left, and say each second how far it is.
        #[arg(long)]
        wait: bool,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// `dunlin user …`
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Create an account; the password is read from standard input or a file.
    Add {
        /// The new account's address (not with --bulk).
        #[arg(required_unless_present = "bulk")]
        jid: Option<String>,
        /// Create many: a file with an address and a password, parted by white space, on each line. Nearly all of the time goes
        /// into hashing, on purpose: three hashes of `passwords.iterations` rounds for each password, so that a stolen database
        /// is of little use. All processors hash; time falls with their number, and with `--iterations`.
        #[arg(long, value_name = "FILE", conflicts_with = "jid")]
        bulk: Option<PathBuf>,
        /// PBKDF2 iterations instead of `passwords.iterations`: fewer are quicker to create and easier to guess when stolen.
        #[arg(long, value_name = "N")]
        iterations: Option<u32>,
        /// Where the password is.
        #[command(flatten)]
        password: PasswordSource,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Change a password.
    Passwd {
        /// The account's address.
        jid: String,
        /// Where the password is.
        #[command(flatten)]
        password: PasswordSource,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// List the clients of an account that log in by tokens, without a password (FAST), or take one's tokens away.
    Tokens {
        /// The account's address.
        jid: String,
        /// The client's id, as listed.
        #[arg(long, value_name = "ID")]
        revoke: Option<String>,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Remove an account and everything kept for it.
    Remove {
        /// The account's address.
        jid: String,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Remove an account as `remove` does, or whatever is left under the address of one that does not exist any more, and say what there was.
    Purge {
        /// The address.
        jid: String,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Write all that is kept of an account as XML (XEP-0227): roster, vCard, private data, settings, archive, messages that wait.
    Export {
        /// The account's address.
        jid: String,
        /// A new file, which only you can read, instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Also what passwords and tokens are checked with, for a server to which the account moves: keep it secret.
        #[arg(long)]
        credentials: bool,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// List the accounts of a domain (default: of all).
    List {
        /// The domain.
        domain: Option<String>,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// `dunlin invite …`
#[derive(Debug, Subcommand)]
pub(crate) enum Invite {
    /// Make an invitation and print its link: shown once, as only a hash of it is kept.
    Create {
        /// The domain to register at. Default: the only one that takes invitations.
        #[arg(long)]
        host: Option<String>,
        /// The name to register; it is kept for this invitation as long as that is good. Default: who is invited chooses.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// An account that is to have the new one as a contact, and the other way round.
        #[arg(long, value_name = "JID")]
        contact: Option<String>,
        /// How long the invitation is good, such as `12h` or `7d`; `never`: until it is used or taken back.
        #[arg(long, value_name = "TIME", default_value = "7d")]
        expires: String,
        /// How many accounts may come of it.
        #[arg(long, value_name = "N", default_value_t = 1)]
        uses: u32,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// List the invitations that are good: id, domain, end, uses left, name, contact, names in the making, the user who made it.
    List {
        /// The domain (default: all).
        #[arg(long)]
        host: Option<String>,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Take an invitation back.
    Revoke {
        /// Its id, as listed.
        id: String,
        /// Which configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// Where a password is.
#[derive(Debug, Args)]
pub(crate) struct PasswordSource {
    /// Read the password from the first line of this file instead of standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// `dunlin config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is good, and what is wrong with it.
    Check(ConfigFile),
    /// Explain a key, a section (such as `edge`), or everything.
    Explain {
        /// The key or the beginning of one.
        key: Option<String>,
    },
}

/// `dunlin docs`
#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Only compare; fail when a committed document is stale.
    #[arg(long)]
    pub(crate) check: bool,
    /// The project's folder.
    #[arg(long, default_value = ".")]
    pub(crate) root: PathBuf,
}

impl RoleChoice {
    /// As roles.
    pub(crate) fn roles(self) -> Vec<Role> {
        match self {
            Self::Edge => vec![Role::Edge],
            Self::Router => vec![Role::Router],
            Self::All => vec![Role::Edge, Role::Router],
        }
    }
}
