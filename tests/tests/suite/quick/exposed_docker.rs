//! `fw-user exposed`: what Docker publishes, held against what the LAN gets, and a Docker that does not answer.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, PI4, Transport, command, docker::Docker, tmux::Tmux},
    tests,
};

use super::exposed::{Container, Exposed, row};

tests! {
    a_docker_that_cannot_be_read_holds_nothing_up;
}

tests! { in generic mode:
    what_docker_publishes_is_named_and_judged;
}

fn asked(lab: &Lab, docker: &Docker<'_>) -> Result<Exposed> {
    let mut command = lab.fw.command(&lab.pi, ["exposed", "--json"]);
    Ok(serde_json::from_str(&command::run(command.env("DOCKER_HOST", docker.host()))?)?)
}

fn a_docker_that_cannot_be_read_holds_nothing_up() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _server = lab.pi.serve_tcp(9123)?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("docker.sock");
    let ask = |args: &[&str]| -> Result<String> {
        let mut command = lab.fw.command(&lab.pi, args);
        command::run(command.env("DOCKER_HOST", format!("unix://{}", socket.display())))
    };
    let answers: [(&[u8], &str); 3] = [
        (b"", "no answer within 2 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is not understood"),
        (b"220 smtp.example ESMTP\r\n", "does not speak HTTP"),
    ];
    for (answer, expected) in answers {
        let listener = UnixListener::bind(&socket)?;
        let daemon = thread::spawn(move || -> Result<Vec<UnixStream>> {
            // Once for people, once for programs; the connections stay open until the thread is joined.
            let mut open = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept()?;
                let _question = stream.read(&mut [0; 4096])?;
                stream.write_all(answer)?;
                open.push(stream);
            }
            Ok(open)
        });
        let start = Instant::now();
        let said = ask(&["exposed"])?;
        ensure!(start.elapsed() < Duration::from_secs(5), "{expected}: {:?}", start.elapsed());
        ensure!(said.contains(expected) && said.contains(&socket.display().to_string()), "{expected}: {said}");
        row(&said, "9123/tcp").context("sockets are shown all the same")?;
        let exposed: Exposed = serde_json::from_str(&ask(&["exposed", "--json"])?)?;
        assert_eq!(exposed.docker.state, "unreadable");
        assert_eq!(exposed.docker.socket.as_deref(), socket.to_str());
        ensure!(exposed.docker.why.is_some_and(|why| why.contains(expected)), "{expected}");
        let open = daemon.join().expect("the daemon's thread does not panic")?;
        assert_eq!(open.len(), 2);
        std::fs::remove_file(&socket)?;
    }
    Ok(())
}

fn what_docker_publishes_is_named_and_judged(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    for userland_proxy in [true, false] {
        let docker = Docker::start(&lab.pi, userland_proxy)?;
        let publish = ["-p", "9125:80", "-p", "80:8080/udp", "-p", "127.0.0.1:9126:81", "-p", "192.0.2.1:9127:82"];
        let container = docker.container("web", &publish)?;
        let hidden = container.namespace.serve_tcp(80)?;
        let shown = container.namespace.serve_udp(8080)?;
        let exposed = asked(&lab, &docker)?;
        assert_eq!(exposed.docker.state, "read");
        let forward = |port: u16| vec![SocketAddr::new(container.address, port).to_string()];
        let rows = [
            ("tcp", 9125, 80, "open"),
            ("udp", 80, 8080, "open"),
            ("tcp", 9126, 81, "local only"),
            ("tcp", 9127, 82, "open"),
        ];
        for (proto, port, inside, state) in rows {
            // The proxies of Docker's own are not listed beside it.
            let published = exposed.at(proto, port)?;
            assert_eq!(published.state, state, "{port}");
            let expected =
                Container { name: "web".to_owned(), image: "lab".to_owned(), port: inside, forward: forward(inside) };
            assert_eq!(published.container.as_ref(), Some(&expected), "{port}");
            assert!(published.process.is_none());
        }
        assert_eq!(exposed.at("tcp", 9127)?.addresses, ["192.0.2.1"]);
        lab.lan.reaches(&hidden, Transport::Tcp, PI4, 9125).context("it says open")?;
        // The owner's input chain drops all but 22, 80 and 443, and Docker's packets never meet it.
        for (proto, port, netfilter) in [
            ("tcp", 9125, Some("bypassed")),
            ("udp", 80, Some("bypassed")),
            ("tcp", 9126, None),
            ("tcp", 9127, Some("bypassed")),
        ] {
            assert_eq!(
                exposed.at(proto, port)?.netfilter.as_deref(),
                netfilter,
                "{port}: {}",
                lab.pi.run("nft list ruleset")?
            );
        }

        lab.attach(mode, "22,80")?;
        let exposed = asked(&lab, &docker)?;
        for (proto, port, state) in
            [("tcp", 9125, "closed"), ("udp", 80, "open"), ("tcp", 9126, "local only"), ("tcp", 9127, "closed")]
        {
            assert_eq!(exposed.state(proto, port)?, state, "{port}");
        }
        lab.is_closed(&hidden, Transport::Tcp, PI4, 9125)?;
        lab.lan.reaches(&shown, Transport::Udp, PI4, 80)?;
        other_views_name_the_container(&lab, &docker)?;
        let mut command = lab.fw.command(&lab.pi, ["exposed"]);
        let said = command::run(command.env("DOCKER_HOST", docker.host()))?;
        let published = row(&said, "9125/tcp")?;
        ensure!(published.starts_with("9125/tcp closed gets past nftables (Docker) "), "{said}");
        ensure!(published.contains(" container web, lab "), "{said}");
        ensure!(published.ends_with(&format!(" -> {}:80", container.address)), "{said}");
        // Without Docker's word there are its proxies, where there are any.
        let alone = Exposed::of(&lab)?;
        assert_eq!(alone.docker.state, "absent");
        if userland_proxy {
            let proxies = alone.ports.iter().filter(|port| port.port == 9125);
            ensure!(proxies.clone().count() > 0, "{alone:#?}");
            for proxy in proxies {
                assert_eq!(proxy.process.as_ref().map(|process| process.name.as_str()), Some("docker-proxy"));
            }
        }
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// Those of what was dropped at 9125, which was knocked at.
fn other_views_name_the_container(lab: &Lab, docker: &Docker<'_>) -> Result<()> {
    for args in [&["drops", "--last", "--port", "9125/tcp"][..], &["explain", "9125/tcp"]] {
        let said = command::run(lab.fw.command(&lab.pi, args).env("DOCKER_HOST", docker.host()))?;
        ensure!(said.lines().any(|line| line.ends_with("  container web")), "{args:?}: {said}");
    }
    let tmux = Tmux::start(&lab.pi, &[("DOCKER_HOST", &docker.host())])?;
    let program = fw_tests::lab::fw::binary().display();
    tmux.enter(&format!("{program} --bpffs {} stats", lab.fw.bpffs().display()))?;
    tmux.await_screen("who would have been met", |screen| {
        screen.lines().any(|line| line.contains("9125/tcp ") && line.contains(" container web "))
    })?;
    Ok(())
}
