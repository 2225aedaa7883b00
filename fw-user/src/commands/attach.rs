//! `fw-user attach`.

use std::time::Duration;

use aya_log::EbpfLogger;
use fw_common::policy::Policy;
use serde::Serialize;

use super::{json, present, print};
use crate::{
    Error, Result,
    bpf::{
        attachment::{self, Attached, Plan},
        egress::Hook,
        object,
        pins::Pins,
    },
    cli::AttachArgs,
    interface, privilege, report, spec,
};

pub(super) async fn run(pins: &Pins, args: &AttachArgs) -> Result<()> {
    let mut policy = Policy::new(spec::rules(&args.allow)?);
    policy.protocols = spec::protocols(&args.allow_proto)?;
    policy.forward = args.forward();
    policy.compile()?;
    privilege::check()?;
    object::kernel_version()?;
    let interfaces = interface::named(&args.interfaces).await?;
    for interface in &interfaces {
        interface.check_is_ethernet()?;
    }
    let plan = Plan {
        policy,
        mode: args.mode,
        flows: args.flows,
        replies: !args.no_replies,
        hook: Hook::default(),
        debug: args.debug,
    };
    pins.ensure_bpffs()?;
    let lock = pins.lock()?;
    for interface in &interfaces {
        attachment::check(pins, interface, &plan)?;
    }
    let mut attached: Vec<(String, Attached)> = Vec::new();
    for interface in &interfaces {
        match attachment::attach(pins, interface, &plan).await {
            Ok(outcome) => attached.push((interface.name.clone(), outcome)),
            Err(error) => {
                // All or none: those that had no filter before get rid of it again.
                for (name, _) in attached.iter().filter(|(_, outcome)| !outcome.replaced) {
                    attachment::detach(pins, name, present(name).await?.as_ref()).await?;
                }
                return Err(error);
            }
        }
    }
    drop(lock);
    if args.json {
        let interfaces: Vec<Outcome<'_>> =
            attached.iter().map(|(name, outcome)| Outcome::new(name, outcome, &plan)).collect();
        print(&json(&Outcomes { interfaces })?)?;
    } else {
        for (name, outcome) in &attached {
            print(&report::attach::text(name, outcome, &plan))?;
        }
    }
    if args.debug { follow(attached).await } else { Ok(()) }
}

#[derive(Serialize)]
struct Outcomes<'a> {
    interfaces: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    name: &'a str,
    mode: &'static str,
    replaced: bool,
    #[serde(flatten)]
    policy: report::PolicyJson,
}

impl<'a> Outcome<'a> {
    fn new(name: &'a str, outcome: &Attached, plan: &Plan) -> Self {
        Self {
            name,
            mode: outcome.record.mode.name(),
            replaced: outcome.replaced,
            policy: report::PolicyJson::new(&plan.policy),
        }
    }
}

/// How often diagnostics are taken from the kernel's buffer, which holds some thousand of them.
const READ_EVERY: Duration = Duration::from_millis(50);

/// Print what the programs say until Ctrl-C.
async fn follow(attached: Vec<(String, Attached)>) -> Result<()> {
    /// Lines for people who look on; nothing else in this process logs.
    struct Lines;
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            // Where nobody reads any more, nothing is lost.
            let _unused = print(&format!("{}\n", record.args()));
        }
        fn flush(&self) {}
    }
    static LINES: Lines = Lines;

    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::kernel("reading the filter's diagnostics", error);
    // The objects keep the buffers that are read.
    let mut objects = Vec::new();
    let mut loggers = Vec::new();
    for (_, mut outcome) in attached {
        loggers.push(EbpfLogger::init_with_logger(&mut outcome.ebpf, &LINES).map_err(|error| failed(error.into()))?);
        objects.push(outcome.ebpf);
    }
    let mut ticks = tokio::time::interval(READ_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => loggers.iter_mut().for_each(EbpfLogger::flush),
            result = tokio::signal::ctrl_c() => return result.map_err(|error| failed(error.into())),
        }
    }
}
