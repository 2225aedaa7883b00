//! The ports that Docker publishes, from a single request to its HTTP API over its unix socket, which changes nothing.

use std::{
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

use crate::host::targets::{answer, endpoint::Endpoint};

/// The time for Docker's whole answer. A hanging daemon must not block the command.
const PATIENCE: Duration = Duration::from_secs(2);

/// The running containers with their ports. Without a version in the path each daemon uses its own, and the fields that are read here are the same in
/// all versions.
const QUESTION: &str = "/containers/json";

/// The longest answer that is read, in bytes: enough for thousands of containers.
const LONGEST: usize = 16 << 20;

/// Why Docker's ports are unknown.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no Docker.
    Absent,
    /// It failed for this reason.
    Unreadable(String),
}

/// The ports that the running containers publish.
pub(crate) async fn published(socket: &Path) -> Result<Vec<Endpoint>, Failure> {
    let stream = match timeout(PATIENCE, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_connected(&error)),
        Err(_) => return Err(too_late()),
    };
    let body = timeout(PATIENCE, ask(stream)).await.unwrap_or_else(|_| Err(too_late()))?;
    answer::endpoints(&body).map_err(|error| Failure::Unreadable(format!("its answer is not understood ({error})")))
}

async fn ask(stream: UnixStream) -> Result<Bytes, Failure> {
    let failed = |error: hyper::Error| Failure::Unreadable(format!("it does not speak HTTP as Docker does ({error})"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let request = Request::get(QUESTION)
        .header(header::HOST, "docker")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::Unreadable(error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(failed)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    connection.abort();
    if status != StatusCode::OK {
        return Err(Failure::Unreadable(format!("it answered {status}")));
    }
    Ok(body.map_err(|error| Failure::Unreadable(format!("its answer breaks off ({error})")))?.to_bytes())
}

fn not_connected(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Failure::Absent,
        ErrorKind::PermissionDenied => Failure::Unreadable("permission denied; run this with sudo".to_owned()),
        ErrorKind::ConnectionRefused => {
            Failure::Unreadable("nobody answers there; is Docker running? systemctl status docker".to_owned())
        }
        _ => Failure::Unreadable(error.to_string()),
    }
}

fn too_late() -> Failure {
    Failure::Unreadable(format!("no answer within {} s; systemctl status docker", PATIENCE.as_secs()))
}
