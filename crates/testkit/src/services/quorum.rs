//! An etcd of several members, which one by one may be away.

use anyhow::{Context, Result};

use super::{Etcd, Plan, Server, etcd_is_healthy, exchange, folder, free_port, program};

/// An etcd cluster.
pub struct EtcdCluster {
    /// Its members.
    pub members: Vec<Etcd>,
}

impl EtcdCluster {
    /// Starts `count` members and waits until each is healthy.
    ///
    /// # Errors
    /// As [`Etcd::start`].
    pub fn start(count: usize) -> Result<Self> {
        let ports = (0..count)
            .map(|_| Ok((free_port()?, free_port()?)))
            .collect::<Result<Vec<_>>>()?;
        let peers: Vec<String> = ports
            .iter()
            .map(|(port, peer)| format!("m{port}=http://127.0.0.1:{peer}"))
            .collect();
        let peers = peers.join(",");
        let started: Vec<Result<Etcd>> = std::thread::scope(|scope| {
            let starts: Vec<_> = ports
                .iter()
                .map(|ports| scope.spawn(|| member(*ports, &peers)))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().expect("no panic"))
                .collect()
        });
        Ok(Self {
            members: started.into_iter().collect::<Result<_>>()?,
        })
    }

    /// `http://127.0.0.1:PORT` of each member.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(Etcd::url).collect()
    }

    /// The member that leads, by its place.
    ///
    /// # Errors
    /// When none says that it does.
    pub fn leader(&self) -> Result<usize> {
        self.members.iter().position(leads).context("no member leads")
    }
}

fn member((port, peer): (u16, u16), peers: &str) -> Result<Etcd> {
    let folder = folder("etcd")?;
    let (clients, name) = (format!("http://127.0.0.1:{port}"), format!("m{port}"));
    let (own, data) = (
        format!("http://127.0.0.1:{peer}"),
        folder.join("data").display().to_string(),
    );
    let arguments = [
        ["--name", &name],
        ["--data-dir", &data],
        ["--listen-client-urls", &clients],
        ["--advertise-client-urls", &clients],
        ["--listen-peer-urls", &own],
        ["--initial-advertise-peer-urls", &own],
        ["--initial-cluster", peers],
    ];
    let server = Server::start(Plan {
        program: program("etcd", "etcd-server")?,
        arguments: arguments.concat().into_iter().map(str::to_owned).collect(),
        folder,
        user: None,
        polite: "TERM",
        ready: Box::new(move || etcd_is_healthy(port)),
    })?;
    Ok(Etcd { server, port })
}

/// Asks a member over its JSON gateway who it is and who leads.
fn leads(member: &Etcd) -> bool {
    let ask = format!(
        "POST /v3/maintenance/status HTTP/1.0\r\nHost: {}\r\nContent-Length: 2\r\n\r\n{{}}",
        member.address()
    );
    let said = exchange(member.port, &ask).unwrap_or_default();
    let number = |name: &str| {
        let (_, after) = said.split_once(&format!("\"{name}\":\""))?;
        after.split('"').next().map(str::to_owned)
    };
    let own = number("member_id");
    own.is_some() && own == number("leader")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_member_leads_when_the_leader_is_killed() {
        let mut etcd = EtcdCluster::start(3).unwrap();
        let first = etcd.leader().unwrap();
        etcd.members[first].kill().unwrap();
        super::super::wait("another leader", || etcd.leader().is_ok_and(|leader| leader != first)).unwrap();
        etcd.members[first].restart().unwrap();
    }
}
