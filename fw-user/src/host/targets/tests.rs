//! The receivers, for invented answers of the kernel and Docker.

use std::collections::HashMap;

use fw_common::PortProtocol;

use crate::host::{
    connections::{Activity, OpenSocket},
    processes::Process,
    targets::{
        Docker, Targets,
        endpoint::{Endpoint, Target},
        joined, takes_what_comes,
    },
};

/// The receiver of a packet from the network to a port, at any address.
fn receiver(targets: &Targets, protocol: PortProtocol, port: u16) -> Option<&Target> {
    targets.at(protocol, port).find(|endpoint| !endpoint.is_local_only()).map(|endpoint| &endpoint.target)
}

const TCP: PortProtocol = PortProtocol::Tcp;
const UDP: PortProtocol = PortProtocol::Udp;

const SSHD: u64 = 1;
const WEB: u64 = 2;
const PROXY: u64 = 3;

fn holders() -> HashMap<u64, Process> {
    let holder = |inode, pid, name: &str| (inode, Process { pid, name: name.to_owned(), uid: 0 });
    HashMap::from([holder(SSHD, 100, "sshd"), holder(WEB, 101, "nginx"), holder(PROXY, 102, "docker-proxy")])
}

fn socket(protocol: PortProtocol, local: &str, remote: Option<&str>, inode: u64) -> OpenSocket {
    let activity = match (protocol, remote) {
        (_, Some(_)) => Activity::Stands,
        (PortProtocol::Udp, None) => Activity::Other,
        _ => Activity::Listens,
    };
    let end = |text: &str| text.parse().expect("an end");
    OpenSocket { protocol, activity, local: end(local), remote: remote.map(end), only_ipv6: false, device: 0, inode }
}

fn targets(published: Vec<Endpoint>, open: &[OpenSocket]) -> Targets {
    Targets { endpoints: joined(published, open, &holders()), docker: Docker::Read, unlisted: Vec::new() }
}

fn named(target: Option<&Target>) -> String {
    target.map_or_else(|| "nobody".to_owned(), ToString::to_string)
}

#[test]
fn a_socket_takes_what_comes_unless_it_has_a_peer() {
    let rows = [
        (socket(TCP, "0.0.0.0:22", None, SSHD), true),
        (socket(TCP, "192.0.2.1:22", Some("192.0.2.10:5"), SSHD), false),
        (OpenSocket { activity: Activity::Other, ..socket(TCP, "192.0.2.1:22", None, SSHD) }, false),
        (socket(UDP, "0.0.0.0:53", None, SSHD), true),
        (socket(UDP, "192.0.2.1:40000", Some("192.0.2.10:53"), SSHD), false),
        (socket(UDP, "0.0.0.0:0", None, SSHD), false), // not bound yet
    ];
    for (socket, expected) in rows {
        assert_eq!(takes_what_comes(&socket), expected, "{socket:?}");
    }
}

#[test]
fn a_port_leads_to_who_is_reached_from_the_network() {
    let open = [
        socket(TCP, "0.0.0.0:22", None, SSHD),
        socket(TCP, "127.0.0.1:631", None, WEB),
        socket(TCP, "[::1]:631", None, WEB),
        socket(TCP, "127.0.0.1:80", None, SSHD),
        socket(TCP, "192.0.2.1:80", None, WEB),
        socket(UDP, "0.0.0.0:51820", None, 77),
    ];
    let targets = targets(Vec::new(), &open);
    let rows =
        [(TCP, 22, "sshd"), (UDP, 22, "nobody"), (TCP, 631, "nobody"), (TCP, 80, "nginx"), (UDP, 51820, "unknown")];
    for (protocol, port, expected) in rows {
        assert_eq!(named(receiver(&targets, protocol, port)), expected, "{port}/{protocol}");
    }
}

#[test]
fn an_address_leads_to_who_serves_it() {
    let only_ipv6 = OpenSocket { only_ipv6: true, ..socket(TCP, "[::]:81", None, WEB) };
    let open = [
        socket(TCP, "192.0.2.1:80", None, WEB),
        socket(TCP, "192.0.2.2:80", None, SSHD),
        only_ipv6,
        socket(TCP, "[::]:22", None, SSHD),
    ];
    let targets = targets(Vec::new(), &open);
    let rows = [
        ("192.0.2.1:80", "nginx"),
        ("192.0.2.2:80", "sshd"),
        ("192.0.2.3:80", "nobody"),
        ("192.0.2.1:81", "nobody"),
        ("[2001:db8::1]:81", "nginx"),
        ("192.0.2.1:22", "sshd"),
        ("[2001:db8::1]:22", "sshd"),
    ];
    for (destination, expected) in rows {
        let destination = destination.parse().expect("an end");
        assert_eq!(named(targets.of_address(TCP, destination)), expected, "{destination}");
    }
}

#[test]
fn workers_that_share_a_port_are_one() {
    let open = [socket(TCP, "0.0.0.0:80", None, WEB), socket(TCP, "0.0.0.0:80", None, WEB)];
    assert_eq!(targets(Vec::new(), &open).endpoints().len(), 1);
}

#[cfg(feature = "docker")]
mod of_docker {
    use std::time::Instant;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    use crate::host::targets::{answer, endpoint::Container, tests::*};

    /// The relevant parts of answers of Docker 20.10 and 28.
    const ANSWER: &str = r#"[
      {"Id": "0123456789abcdef", "Names": ["/proxy/alias", "/web"], "Image": "nginx:1.27", "State": "running",
       "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 9125, "Type": "tcp"},
                 {"IP": "::", "PrivatePort": 80, "PublicPort": 9125, "Type": "tcp"},
                 {"IP": "127.0.0.1", "PrivatePort": 81, "PublicPort": 9126, "Type": "tcp"},
                 {"IP": "192.0.2.1", "PrivatePort": 82, "PublicPort": 9127, "Type": "udp"},
                 {"PrivatePort": 443, "Type": "tcp"}],
       "HostConfig": {"NetworkMode": "own"},
       "NetworkSettings": {"Networks": {
         "another": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": ""},
         "own": {"IPAddress": "172.19.0.2", "GlobalIPv6Address": "fd00:19::2"}}}},
      {"Id": "fedcba9876543210", "Names": null, "Image": "sha256:00112233445566778899", "Ports": null,
       "HostConfig": {"NetworkMode": "host"}, "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}},
      {"Id": "fedcba9876543210", "Names": null, "Image": "sha256:00112233445566778899",
       "Ports": [{"IP": "", "PrivatePort": 53, "PublicPort": 5300, "Type": "sctp"},
                 {"PrivatePort": 53, "PublicPort": 5300, "Type": "smoke-signals"}],
       "NetworkSettings": null}
    ]"#;

    fn published() -> Vec<Endpoint> {
        answer::endpoints(ANSWER.as_bytes()).expect("an answer of Docker's")
    }

    #[test]
    fn dockers_answer_is_understood() {
        let row = |protocol, local: &str, name: &str, image: &str, forward: Option<&str>, forward_port| Endpoint {
            protocol,
            local: local.parse().expect("an end"),
            only_ipv6: local.starts_with('['),
            device: 0,
            target: Target::Container(Container {
                name: name.to_owned(),
                image: image.to_owned(),
                forward_address: forward.map(|address| address.parse().expect("an address")),
                forward_port,
            }),
        };
        let web = |protocol, local, forward, port| row(protocol, local, "web", "nginx:1.27", Some(forward), port);
        let expected = [
            web(TCP, "0.0.0.0:9125", "172.19.0.2", 80),
            web(TCP, "[::]:9125", "fd00:19::2", 80),
            web(TCP, "127.0.0.1:9126", "172.19.0.2", 81),
            web(UDP, "192.0.2.1:9127", "172.19.0.2", 82),
            row(PortProtocol::Sctp, "0.0.0.0:5300", "fedcba987654", "001122334455", None, 53),
        ];
        assert_eq!(published(), expected);
    }

    #[test]
    fn what_is_no_list_of_containers_is_refused() {
        for text in ["", "<html>", "{}", "[1]", r#"[{"Id": 1}]"#, r#"{"message": "page not found"}"#] {
            assert!(answer::endpoints(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_container_comes_before_dockers_own_proxy() {
        let open = [
            socket(TCP, "0.0.0.0:9125", None, PROXY),
            OpenSocket { only_ipv6: true, ..socket(TCP, "[::]:9125", None, PROXY) },
            socket(TCP, "127.0.0.1:9126", None, PROXY),
            socket(UDP, "192.0.2.1:9127", None, PROXY),
            // Of other addresses than the published one.
            socket(UDP, "192.0.2.2:9127", None, WEB),
        ];
        let targets = targets(published(), &open);
        assert!(targets.endpoints().iter().all(|endpoint| endpoint.target.to_string() != "docker-proxy"));
        let rows = [(TCP, 9125, "container web"), (TCP, 9126, "nobody"), (UDP, 9127, "container web")];
        for (protocol, port, expected) in rows {
            assert_eq!(named(receiver(&targets, protocol, port)), expected, "{port}/{protocol}");
        }
        let rows = [
            (UDP, "192.0.2.1:9127", "container web"),
            (UDP, "192.0.2.2:9127", "nginx"),
            (TCP, "[2001:db8::1]:9125", "container web"),
            // Sent straight to the container by a neighbour.
            (TCP, "172.19.0.2:80", "container web"),
            (TCP, "172.19.0.2:443", "nobody"),
        ];
        for (protocol, destination, expected) in rows {
            let destination = destination.parse().expect("an end");
            assert_eq!(named(targets.of_address(protocol, destination)), expected, "{destination}");
        }
    }

    /// The result of asking a Docker that sends this answer and then waits.
    async fn asked(says: &'static [u8]) -> Docker {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let dockerd = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let length = stream.read(&mut [0; 4096]).await.expect("a question");
            assert!(length > 0, "nothing is asked");
            stream.write_all(says).await.expect("it reads");
            std::future::pending::<()>().await;
        });
        let (published, docker) = super::super::published(&socket).await;
        dockerd.abort();
        assert!(published.is_empty());
        docker
    }

    fn why(docker: &Docker) -> &str {
        match docker {
            Docker::Unreadable { why, .. } => why,
            Docker::Absent | Docker::Read => panic!("{docker:?}"),
        }
    }

    #[tokio::test]
    async fn a_docker_that_cannot_be_read_says_why() {
        let rows: [(&'static [u8], &str); 4] = [
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it does not speak HTTP as Docker does"),
            (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}", "it answered 500"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "its answer is not understood"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", "its answer breaks off"),
        ];
        for (says, expected) in rows {
            let docker = asked(says).await;
            assert!(why(&docker).starts_with(expected), "{docker:?}");
        }
        assert_eq!(asked(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]").await, Docker::Read);
    }

    #[tokio::test]
    async fn a_docker_that_hangs_has_two_seconds() {
        for says in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n["] {
            let start = Instant::now();
            let docker = asked(says).await;
            assert!(why(&docker).starts_with("no answer within 2 s"), "{docker:?}");
            let took = start.elapsed().as_secs_f64();
            assert!((1.9..4.0).contains(&took), "{took} s");
        }
    }

    #[tokio::test]
    async fn a_docker_that_is_not_there_is_no_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        assert_eq!(super::super::published(&socket).await, (Vec::new(), Docker::Absent));
        drop(UnixListener::bind(&socket).expect("a socket"));
        let (_, stopped) = super::super::published(&socket).await;
        assert!(why(&stopped).starts_with("nobody answers there"), "{stopped:?}");
    }
}
