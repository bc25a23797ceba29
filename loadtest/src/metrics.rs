//! The server's own metrics: Prometheus text endpoints, read once a second into series.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::results::{Combine, Series};

/// An endpoint to be read: `http://127.0.0.1:9090/metrics`, which stands for all gauges and counters, or
/// `http://127.0.0.1:9090/metrics#sessions,messages_total` for those that are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `HOST:PORT`.
    address: String,
    path: String,
    chosen: Vec<String>,
}

/// What was read of some endpoints. Metrics are summed over their labels; a counter becomes its rate. Series are called `METRIC/HOST:PORT`.
#[derive(Debug, Default)]
pub struct Metrics {
    endpoints: Vec<Endpoint>,
    /// Counters as they were read last, with their time.
    counters: BTreeMap<String, (f64, f64)>,
    series: BTreeMap<String, Series>,
    failures: BTreeMap<String, String>,
}

/// An argument that is not an endpoint.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a metrics endpoint; write http://HOST:PORT/PATH, and #NAME,NAME to choose metrics")]
pub struct Unreadable(String);

/// One metric's value, summed over its labels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    is_counter: bool,
    value: f64,
}

impl FromStr for Endpoint {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || Unreadable(text.to_owned());
        let is_plain = |c: char| c.is_ascii_graphic();
        let rest = text
            .strip_prefix("http://")
            .filter(|rest| rest.chars().all(is_plain))
            .ok_or_else(wrong)?;
        let (rest, chosen) = rest.split_once('#').unwrap_or((rest, ""));
        let (address, path) = rest.split_once('/').unwrap_or((rest, "metrics"));
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        let chosen = chosen
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(Self {
            address: format!("{host}:{port}"),
            path: format!("/{path}"),
            chosen,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

impl Metrics {
    /// Metrics of these endpoints, none read yet.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            ..Self::default()
        }
    }

    /// Reads all endpoints; `at` is in seconds since the run began. One that does not answer within two seconds is passed over.
    pub async fn sample(&mut self, at: f64) {
        for endpoint in self.endpoints.clone() {
            match endpoint.read().await {
                Ok(text) => self.add(&endpoint, at, &parse(&text)),
                Err(reason) => drop(self.failures.insert(endpoint.to_string(), reason)),
            }
        }
    }

    /// What was read, over time.
    pub fn series(&self) -> &BTreeMap<String, Series> {
        &self.series
    }

    /// The endpoints that did not answer at some time, each with its last reason.
    pub fn warnings(&self) -> Vec<String> {
        self.failures
            .iter()
            .map(|(endpoint, reason)| format!("metrics of {endpoint} were not always read: {reason}"))
            .collect()
    }

    fn add(&mut self, endpoint: &Endpoint, at: f64, readings: &BTreeMap<String, Reading>) {
        let is_chosen = |name: &str| endpoint.chosen.is_empty() || endpoint.chosen.iter().any(|chosen| chosen == name);
        for (name, reading) in readings.iter().filter(|(name, _)| is_chosen(name)) {
            let key = format!("{name}/{}", endpoint.address);
            let value = if reading.is_counter {
                self.rate(&key, at, reading.value)
            } else {
                Some(reading.value)
            };
            let Some(value) = value else { continue };
            if self.series.len() >= MOST_SERIES && !self.series.contains_key(&key) {
                continue;
            }
            let unit = if reading.is_counter { "/s" } else { "" };
            let series = self
                .series
                .entry(key)
                .or_insert_with(|| Series::new(unit, Combine::Max));
            series.points.push((at, value));
        }
    }

    /// The counter's rate since it was read before. One that fell was started again, and counts from zero.
    fn rate(&mut self, key: &str, at: f64, value: f64) -> Option<f64> {
        let (before_at, before) = self.counters.insert(key.to_owned(), (at, value))?;
        let grown = if value >= before { value - before } else { value };
        (at > before_at).then(|| grown / (at - before_at))
    }
}

impl Endpoint {
    /// HTTP/1.0 is all that is needed: one request, one answer, to the end of the stream, never in chunks.
    async fn read(&self) -> Result<String, String> {
        let exchange = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            let request = format!(
                "GET {} HTTP/1.0\r\nHost: {}\r\nAccept: text/plain\r\n\r\n",
                self.path, self.address
            );
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = timeout(PATIENCE, exchange)
            .await
            .map_err(|_| "no answer within two seconds".to_owned())?;
        let answer = answer.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
        match head.split_whitespace().nth(1) {
            Some("200") => Ok(body.to_owned()),
            status => Err(format!("the answer has status {}", status.unwrap_or("none"))),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes of one answer that are read.
const MOST_BYTES: u64 = 8 << 20;

/// Most series that are kept.
const MOST_SERIES: usize = 64;

/// Gauges and counters of a text in the Prometheus exposition format, version 0.0.4, summed over their labels; lines that are not understood
/// are passed over.
fn parse(text: &str) -> BTreeMap<String, Reading> {
    let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
    let mut readings: BTreeMap<String, Reading> = BTreeMap::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            match kind.split_once(' ').map(|(name, kind)| (name, kind.trim())) {
                Some((name, "counter")) => drop(kinds.insert(name, true)),
                Some((name, "gauge")) => drop(kinds.insert(name, false)),
                _ => {}
            }
            continue;
        }
        let Some((name, value)) = sample(line) else { continue };
        let Some(is_counter) = kinds.get(name) else { continue };
        let reading = readings.entry(name.to_owned()).or_insert(Reading {
            is_counter: *is_counter,
            value: 0.0,
        });
        reading.value += value;
    }
    readings
}

/// `name{label="value",…} value timestamp`, of which labels and timestamp may be missing.
fn sample(line: &str) -> Option<(&str, f64)> {
    let name = line
        .split(['{', ' '])
        .next()
        .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
    let after = line.rfind('}').map_or(name.len(), |end| end + 1);
    let value: f64 = line.get(after..)?.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name, value))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const TEXT: &str = r#"# HELP sessions Sessions that are bound.
# TYPE sessions gauge
sessions{host="a} 9"} 40
sessions{host="b"} 2 1700000000000
# TYPE messages_total counter
messages_total 100
# TYPE wait_seconds histogram
wait_seconds_bucket{le="1"} 7
# TYPE broken gauge
broken
broken{ 5
broken NaN
free 5
"#;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().expect("an endpoint")
    }

    #[test]
    fn gauges_and_counters_are_read_and_the_rest_is_passed_over() {
        let readings = parse(TEXT);
        assert_eq!(readings.len(), 2);
        assert_eq!(
            readings["sessions"],
            Reading {
                is_counter: false,
                value: 42.0
            }
        );
        assert_eq!(
            readings["messages_total"],
            Reading {
                is_counter: true,
                value: 100.0
            }
        );
    }

    #[test]
    fn counters_become_rates_and_begin_again_when_the_server_does() {
        let mut metrics = Metrics::default();
        let counter = |value: f64| {
            BTreeMap::from([(
                "m".to_owned(),
                Reading {
                    is_counter: true,
                    value,
                },
            )])
        };
        for (at, value) in [(1.0, 100.0), (2.0, 150.0), (4.0, 20.0)] {
            metrics.add(&endpoint("http://localhost:1"), at, &counter(value));
        }
        assert_eq!(metrics.series()["m/localhost:1"].points, [(2.0, 50.0), (4.0, 10.0)]);
        metrics.add(&endpoint("http://localhost:1#other"), 5.0, &counter(90.0));
        assert_eq!(metrics.series()["m/localhost:1"].points.len(), 2);
    }

    #[test]
    fn endpoints_are_addresses_of_plain_http() {
        assert_eq!(endpoint("http://[::1]:9/a/b#x,y").chosen, ["x", "y"]);
        assert_eq!(endpoint("http://host:9").to_string(), "http://host:9/metrics");
        for wrong in [
            "https://host/",
            "host:9",
            "http://:9/",
            "http://host:port/",
            "http://ho st:1/",
        ] {
            let error = wrong.parse::<Endpoint>().expect_err(wrong).to_string();
            assert!(error.contains("write http://HOST:PORT/PATH"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_is_asked_and_one_that_fails_is_a_warning() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = tokio::spawn(async move {
            for status in ["200 OK", "404 Not Found"] {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.expect("a request");
                assert!(request[..length].starts_with(b"GET /metrics HTTP/1.0\r\n"));
                let answer = format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n\r\n{TEXT}");
                stream.write_all(answer.as_bytes()).await.expect("answered");
            }
        });
        let mut metrics = Metrics::new(vec![endpoint(&format!("http://{address}/metrics#sessions"))]);
        metrics.sample(1.0).await;
        metrics.sample(2.0).await;
        server.await.expect("served");
        assert_eq!(metrics.series()[&format!("sessions/{address}")].points, [(1.0, 42.0)]);
        assert_eq!(
            metrics.warnings(),
            [format!(
                "metrics of http://{address}/metrics were not always read: the answer has status 404"
            )]
        );
    }
}
