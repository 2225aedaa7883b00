//! A real Prometheus reads the endpoint, and what contrib has for it and for Grafana is about metrics that there are.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, PI4, background::Background, command, http::encoded, skip, wait},
    tests,
};
use regex_lite::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A Prometheus that has just started takes its time over the first scrapes.
const PATIENCE: Duration = Duration::from_mins(1);

tests! {
    prometheus_scrapes_the_endpoint_and_another_one_federates_it;
    every_panel_of_the_dashboard_shows_something;
    every_alert_is_tested_and_rings_as_its_test_says;
    the_alerts_are_about_metrics_that_there_are;
    the_configurations_are_understood;
}

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(path)
}

/// A server with a folder of its own, on a port of the Pi's loopback.
struct Prometheus<'a> {
    lab: &'a Lab,
    port: u16,
    _server: Background,
    _folder: TempDir,
}

impl<'a> Prometheus<'a> {
    fn start(lab: &'a Lab, port: u16, config: &str) -> Result<Self> {
        skip::need("prometheus", "prometheus")?;
        let folder = TempDir::with_prefix("fw-lab-prometheus-")?;
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config)?;
        fs::copy(contrib("prometheus/alerts.yml"), folder.path().join("alerts.yml"))?;
        let mut prometheus = lab.pi.command("prometheus");
        prometheus.arg(format!("--config.file={}", file.display()));
        prometheus.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        prometheus.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut server = Background::start(&mut prometheus)?;
        server.await_said("Server is ready to receive web requests")?;
        Ok(Self { lab, port, _server: server, _folder: folder })
    }

    /// The result of a query, one value a series.
    fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let url = format!("http://127.0.0.1:{}/api/v1/query?query={}", self.port, encoded(expression));
        let answer = self.lab.pi.get_json(&url).with_context(|| expression.to_owned())?;
        Ok(answer["data"]["result"].as_array().context("a list of series")?.clone())
    }

    /// Wait until a query has a result.
    fn await_result(&self, expression: &str) -> Result<Vec<Value>> {
        wait::within(PATIENCE, expression, || Ok(Some(self.query(expression)?).filter(|result| !result.is_empty())))
    }
}

/// The configuration of `contrib/prometheus`, with these targets, and a scrape every second.
fn config(name: &str, targets: &[&str]) -> Result<String> {
    let text = fs::read_to_string(contrib("prometheus").join(name))?;
    let text = Regex::new("_interval: [0-9]+s")?.replace_all(&text, "_interval: 1s");
    let address = Regex::new(r"[0-9]+(\.[0-9]+){3}:[0-9]+")?;
    let mut targets = targets.iter();
    let mut missing = 0;
    let text = address.replace_all(&text, |old: &regex_lite::Captures<'_>| {
        // A comment names an address too, without a port, and stays.
        targets.next().map_or_else(
            || {
                missing += 1;
                old[0].to_owned()
            },
            |new| (*new).to_owned(),
        )
    });
    ensure!(missing == 0 && targets.next().is_none(), "{name} has another number of targets");
    Ok(text.into_owned())
}

/// A filter that has counted something of everything that the dashboard shows, and its endpoint.
fn at_work(lab: &Lab) -> Result<Background> {
    lab.write_file("eth0", "allow = [\"22\", \"8080/udp\"]")?;
    let mut run = lab.fw_background(&["run"])?;
    run.await_said("eth0  attach")?;
    Ok(run)
}

fn knock(lab: &Lab) -> Result<()> {
    for port in [9125, 8080] {
        lab.lan.send_udp_from(5000, SocketAddr::new(PI4, port), b"knock")?;
    }
    Ok(())
}

fn prometheus_scrapes_the_endpoint_and_another_one_federates_it() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _run = at_work(&lab)?;
    // The second target is nobody's: an alert for it is pending.
    let prometheus = Prometheus::start(&lab, 9090, &config("prometheus.yml", &["127.0.0.1:9843", "127.0.0.1:1"])?)?;
    let up = prometheus.await_result("fw_up")?;
    assert_eq!(
        (&up[0]["metric"], &up[0]["value"][1]),
        (&json!({"__name__": "fw_up", "job": "fw", "instance": "127.0.0.1:9843", "interface": "eth0"}), &json!("1"))
    );
    wait::within(PATIENCE, "the drops", || {
        knock(&lab)?;
        let rate = prometheus
            .query("rate(fw_port_packets_total{protocol=\"udp\",port=\"9125\",verdict=\"drop\"}[30s]) > 0")?;
        Ok((!rate.is_empty()).then_some(()))
    })?;
    // In OpenMetrics a counter is called by its family: it asked for that, and took it.
    let about = lab.pi.get_json("http://127.0.0.1:9090/api/v1/metadata?metric=fw_packets")?;
    assert_eq!(about["data"]["fw_packets"][0]["type"], "counter", "{about}");
    let pending = prometheus.await_result("ALERTS{alertname=\"FwNotScraped\"}")?;
    assert_eq!(pending[0]["metric"]["instance"], "127.0.0.1:1");
    let above = Prometheus::start(&lab, 9091, &config("federate.yml", &["127.0.0.1:9090", "127.0.0.1:2"])?)?;
    let up = above.await_result("fw_up")?;
    assert_eq!(up[0]["metric"]["instance"], "127.0.0.1:9843", "machines keep their names");
    assert_eq!(up[0]["metric"]["site"], "cellar");
    above.await_result("fw_packets_total{reason=\"closed-port\"} > 0").map(drop)
}

/// The expressions of a dashboard, with Grafana's variables filled in, and the title of their panel.
fn expressions() -> Result<Vec<(String, String)>> {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(contrib("grafana/fw.json"))?)?;
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().context("panels")? {
        for target in panel["targets"].as_array().context("targets")? {
            let title = panel["title"].as_str().context("a title")?;
            let expression = target["expr"].as_str().context("an expression")?;
            let filled = expression
                .replace("$instance", ".*")
                .replace("$interface", ".*")
                .replace("$__rate_interval", "30s")
                .replace("$__range", "5m");
            ensure!(!filled.contains('$'), "{title} has a variable that nobody fills: {filled}");
            found.push((title.to_owned(), filled));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().context("variables")? {
        if let Some(query) = variable["definition"].as_str() {
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
            let name = variable["name"].as_str().context("a name")?.to_owned();
            found.push((name, inner.context("label_values(...)")?.0.replace("$instance", ".*")));
        }
    }
    ensure!(found.len() > 10, "{found:?}");
    Ok(found)
}

fn every_panel_of_the_dashboard_shows_something() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _run = at_work(&lab)?;
    let prometheus = Prometheus::start(&lab, 9090, &config("prometheus.yml", &["127.0.0.1:9843", "127.0.0.1:1"])?)?;
    for (title, expression) in expressions()? {
        wait::within(PATIENCE, format!("{title}: {expression}"), || {
            knock(&lab)?;
            Ok((!prometheus.query(&expression)?.is_empty()).then_some(()))
        })?;
    }
    Ok(())
}

/// The names of the metrics in a text.
fn names(text: &str) -> Result<BTreeSet<String>> {
    Ok(Regex::new("\\bfw_[a-z_]+")?.find_iter(text).map(|name| name.as_str().to_owned()).collect())
}

fn the_alerts_are_about_metrics_that_there_are() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _run = at_work(&lab)?;
    let text = lab.pi.get("http://127.0.0.1:9843/metrics")?;
    let there: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(ToOwned::to_owned)
        .collect();
    let rules = fs::read_to_string(contrib("prometheus/alerts.yml"))?;
    let expressions: String = rules.lines().filter(|line| line.trim().starts_with("expr: ")).collect();
    let asked = names(&expressions)?;
    ensure!(asked.len() >= 6, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&there).collect();
    ensure!(unknown.is_empty(), "no such metrics: {unknown:?}");
    // A panel's sum may be empty without anybody noticing.
    for (title, expression) in self::expressions()? {
        let unknown: Vec<_> = names(&expression)?.difference(&there).cloned().collect();
        ensure!(unknown.is_empty(), "{title}: no such metrics: {unknown:?}");
    }
    // Nor is there one that the manual is silent about.
    let manual = fs::read_to_string(contrib("../docs/metrics.md"))?;
    let told: BTreeSet<String> =
        manual.split('`').skip(1).step_by(2).flat_map(|span| names(span).unwrap_or_default()).collect();
    let silent: Vec<_> = there.difference(&told).collect();
    ensure!(silent.is_empty(), "docs/metrics.md lacks {silent:?}");
    Ok(())
}

fn every_alert_is_tested_and_rings_as_its_test_says() -> Result<()> {
    skip::need("promtool", "prometheus")?;
    let promtool = |verbs: &[&str], file: &str| {
        command::run(Command::new("promtool").args(verbs).arg(file).current_dir(contrib("prometheus")))
    };
    promtool(&["check", "rules", "--lint-fatal"], "alerts.yml")?;
    promtool(&["test", "rules"], "alerts.test.yml")?;
    let alerts = |file: &str, key: &str| -> Result<BTreeSet<String>> {
        let text = fs::read_to_string(contrib("prometheus").join(file))?;
        let words = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
        Ok(words.map(|name| name.trim().to_owned()).collect())
    };
    assert_eq!(alerts("alerts.yml", "alert:")?, alerts("alerts.test.yml", "alertname:")?);
    Ok(())
}

fn the_configurations_are_understood() -> Result<()> {
    skip::need("promtool", "prometheus")?;
    for name in ["prometheus.yml", "federate.yml"] {
        command::run(Command::new("promtool").args(["check", "config", name]).current_dir(contrib("prometheus")))?;
    }
    Ok(())
}
