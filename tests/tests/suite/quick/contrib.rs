//! Kubernetes and systemd accept the files in `contrib`, and their command lines are valid for `fw-user`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use fw_tests::{
    lab::{Lab, Mode},
    tests,
};
use fw_user::testing::{
    check,
    cli::{Cli, Command as Verb},
};
use k8s_openapi::{
    Resource,
    api::{
        apps::v1::DaemonSet,
        core::v1::{ConfigMap, Namespace, PodSpec},
    },
    apimachinery::pkg::api::resource::Quantity,
    serde::de::DeserializeOwned,
};
use serde_json::Value;

tests! {
    every_field_of_the_manifest_is_one_of_kubernetes;
    the_pod_gets_what_fw_user_needs_and_nothing_else;
    the_pod_may_have_the_memory_that_the_maps_take;
    the_configmap_is_a_file_without_mistakes_and_lets_the_metrics_out;
    systemd_understands_every_line_of_the_units;
    the_units_start_commands_that_there_are;
}

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(path)
}

/// The objects of the manifest.
fn manifest() -> Result<Vec<Value>> {
    let text = fs::read_to_string(contrib("kubernetes/fw-user.yaml"))?;
    Ok(serde_saphyr::from_multiple(&text)?)
}

/// The one object of a kind, without a field that Kubernetes does not know.
fn object<T: Resource + DeserializeOwned>() -> Result<T> {
    let of_kind = manifest()?.into_iter().find(|object| object["kind"] == T::KIND);
    let mut object = of_kind.with_context(|| format!("no {}", T::KIND))?;
    ensure!(object["apiVersion"] == T::API_VERSION, "{}: {}", T::KIND, object["apiVersion"]);
    let fields = object.as_object_mut().context("an object has fields")?;
    // The type itself stands for them.
    fields.retain(|name, _| !["kind", "apiVersion"].contains(&name.as_str()));
    let mut unknown = Vec::new();
    let known = serde_ignored::deserialize(object, |path| unknown.push(path.to_string()))?;
    ensure!(unknown.is_empty(), "Kubernetes knows no {unknown:?} in a {}", T::KIND);
    Ok(known)
}

fn pod() -> Result<PodSpec> {
    let daemons = object::<DaemonSet>()?.spec.context("a spec")?;
    daemons.template.spec.context("a pod")
}

fn every_field_of_the_manifest_is_one_of_kubernetes() -> Result<()> {
    let kinds: Vec<Value> = manifest()?.into_iter().map(|object| object["kind"].clone()).collect();
    assert_eq!(kinds, ["Namespace", "ConfigMap", "DaemonSet"]);
    let namespace = object::<Namespace>()?.metadata.name;
    let of = [object::<ConfigMap>()?.metadata.namespace, object::<DaemonSet>()?.metadata.namespace];
    ensure!(of.iter().all(|of| *of == namespace), "{of:?} {namespace:?}");
    let daemons = object::<DaemonSet>()?.spec.context("a spec")?;
    let labels = daemons.template.metadata.context("labels")?.labels;
    assert_eq!(daemons.selector.match_labels, labels, "pods that the set would not know as its own");
    Ok(())
}

fn the_pod_gets_what_fw_user_needs_and_nothing_else() -> Result<()> {
    let pod = pod()?;
    assert_eq!(pod.host_network, Some(true));
    let [container] = pod.containers.as_slice() else { bail!("one container") };
    let security = container.security_context.clone().context("a security context")?;
    assert_eq!((security.privileged, security.allow_privilege_escalation), (None, Some(false)));
    let capabilities = security.capabilities.context("capabilities")?;
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
    let added: BTreeSet<String> = capabilities.add.unwrap_or_default().into_iter().collect();
    assert_eq!(added, ["BPF", "NET_ADMIN", "PERFMON"].map(ToOwned::to_owned).into());
    // Every mount has a volume, at the path that fw-user reads.
    let volumes: BTreeSet<String> = pod.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect();
    let mounts = container.volume_mounts.clone().unwrap_or_default();
    assert_eq!(mounts.iter().map(|mount| mount.name.clone()).collect::<BTreeSet<_>>(), volumes);
    ensure!(mounts.iter().all(|mount| mount.sub_path.is_none()), "what is mounted by subPath never changes");
    let paths: BTreeSet<&str> = mounts.iter().map(|mount| mount.mount_path.as_str()).collect();
    let args = container.args.clone().context("arguments")?;
    let node = args.iter().map(|word| word.replace("$(NODE_IP)", "192.0.2.1"));
    let cli = Cli::try_parse_from(["fw-user".to_owned()].into_iter().chain(node))?;
    let needed = [&cli.bpffs, &cli.config].map(|path| path.to_str().unwrap_or_default());
    assert_eq!(paths, needed.into());
    let Verb::Run(run) = cli.command else { bail!("it does not run") };
    ensure!(format!("{:?}", run.listen).contains("192.0.2.1:9843"), "{run:?}");
    ensure!(container.env.iter().flatten().any(|variable| variable.name == "NODE_IP"), "nobody sets NODE_IP");
    let ports = container.ports.clone().unwrap_or_default();
    assert_eq!((ports[0].container_port, ports[0].name.as_deref()), (9843, Some("metrics")));
    Ok(())
}

/// From kernel 5.11 on maps are charged to the control group of whoever makes them: with less the pod is killed, or cannot attach.
fn the_pod_may_have_the_memory_that_the_maps_take() -> Result<()> {
    const MIB: f64 = 1024.0 * 1024.0;
    // The memory of the program itself, plus the verifier's for a while.
    const BESIDES: f64 = 64.0;
    let pod = pod()?;
    let resources = pod.containers[0].resources.clone().context("resources")?;
    let mebibytes = |quantities: Option<BTreeMap<String, Quantity>>| -> Result<f64> {
        let memory = quantities.unwrap_or_default().remove("memory").context("memory")?;
        Ok(memory.0.strip_suffix("Mi").context("in Mi")?.parse()?)
    };
    let (requested, limit) = (mebibytes(resources.requests)?, mebibytes(resources.limits)?);
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    let in_all = status["map_memory"].as_f64().context("bytes")? / MIB;
    let of_interface = status["interfaces"][0]["map_memory"].as_f64().context("bytes")? / MIB;
    let processors: f64 = fs::read_to_string("/sys/devices/system/cpu/possible")?
        .trim()
        .rsplit('-')
        .next()
        .context("a number")?
        .parse::<f64>()?
        + 1.0;
    // Most of it is there once a processor; with all of it being so one is on the safe side. Two interfaces, as in the ConfigMap.
    let on = |count: f64| in_all - of_interface + 2.0 * of_interface / processors * count;
    ensure!(on(4.0) <= requested, "a Pi's maps take {:.0} MiB, and {requested} are asked for", on(4.0));
    ensure!(on(64.0) + BESIDES <= limit, "maps of 64 processors take {:.0} MiB, and {limit} is the limit", on(64.0));
    Ok(())
}

fn the_configmap_is_a_file_without_mistakes_and_lets_the_metrics_out() -> Result<()> {
    let data = object::<ConfigMap>()?.data.context("data")?;
    ensure!(!data.is_empty(), "no file");
    for (name, text) in data {
        ensure!(Path::new(&name).extension().is_some_and(|extension| extension == "toml"), "{name} is not read");
        let file = check::file(Path::new(&name), text);
        ensure!(file.mistakes.is_empty(), "{:#?}", file.mistakes);
        let policy = file.settings.context("settings")?.policy;
        for port in [22, 9843] {
            ensure!(policy.is_open_to_some(fw_common::PortProtocol::Tcp, port), "{name} closes {port}");
        }
    }
    Ok(())
}

/// The units, and the text of each.
fn units() -> Result<Vec<(PathBuf, String)>> {
    let mut units = Vec::new();
    for entry in fs::read_dir(contrib("systemd"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        units.push((path, text));
    }
    ensure!(units.len() == 4, "{units:?}");
    Ok(units)
}

fn systemd_understands_every_line_of_the_units() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut analyze = Command::new("systemd-analyze");
    analyze.arg("verify");
    for (path, text) in units()? {
        let copy = folder.path().join(path.file_name().context("a unit has a name")?);
        // The program need not be installed here.
        fs::write(&copy, text.replace("/usr/local/sbin/fw-user", "/bin/true"))?;
        analyze.arg(copy);
    }
    let output = analyze.output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    // Warnings about this system's own units do not matter.
    let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("fw-user")).collect();
    ensure!(output.status.success() && ours.is_empty(), "{complaints}");
    Ok(())
}

fn the_units_start_commands_that_there_are() -> Result<()> {
    let mut count = 0;
    for (path, text) in units()? {
        for command in text.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/local/sbin/")) {
            Cli::try_parse_from(command.split(' ')).with_context(|| path.display().to_string())?;
            count += 1;
        }
    }
    assert_eq!(count, 3);
    Ok(())
}
