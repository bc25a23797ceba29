//! Counters as operators see them: the text of `/metrics`, read and searched.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::PATIENCE;

/// What `http://{address}/metrics` says.
///
/// # Errors
/// When nobody answers.
pub async fn read(address: SocketAddr) -> Result<String> {
    let ask = async {
        let mut socket = TcpStream::connect(address).await?;
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(PATIENCE, ask).await.context("no metrics in time")??;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    anyhow::ensure!(head.contains(" 200 "), "{head}");
    Ok(body.to_owned())
}

/// The sum of all values in `text` of `series`, which is `name` or `name{label="value",…}`; further labels may stand there.
pub fn total(text: &str, series: &str) -> f64 {
    let (name, wanted) = split(series);
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(found, _)| {
            let (found, labels) = split(found);
            found == name && wanted.iter().all(|label| labels.contains(label))
        })
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

/// Name and labels. Values with commas are not looked for.
fn split(series: &str) -> (&str, Vec<&str>) {
    match series.split_once('{') {
        Some((name, labels)) => (name, labels.trim_end_matches('}').split(',').collect()),
        None => (series, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_the_labels_asked_for() {
        let text = "# HELP a\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\na{x=\"10\"} 100\nab 5\n";
        for (series, expected) in [
            ("a{x=\"1\"}", 7.0),
            ("a{y=\"2\",x=\"1\"}", 3.0),
            ("a", 107.0),
            ("ab", 5.0),
            ("none", 0.0),
        ] {
            assert_eq!(total(text, series), expected, "{series}");
        }
    }
}
