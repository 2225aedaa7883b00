//! The endpoint: HTTP/1, one path, and limits on everything that others could make grow.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use mediatype::{MediaTypeList, ReadParams, names};
use tokio::{net::TcpStream, runtime};

use crate::{
    cmd::metrics::{
        connections::{Asked, Connections},
        exposition::{self, Format},
        reading::Source,
    },
    error::{Error, HostError, Result},
};

/// How long a request may take to arrive. A scraper sends it in one piece.
const REQUEST_TAKES: Duration = Duration::from_secs(3);
/// The most time for a connection, however slow the other end is.
const CONNECTION_LASTS: Duration = Duration::from_secs(10);
/// The most header lines and bytes of a request.
const HEADERS: usize = 64;
const BUFFER: usize = 16 * 1024;
/// The pause after the kernel had no file descriptor left for another connection.
const BREATHER: Duration = Duration::from_millis(100);

/// The page for people with a browser.
const LANDING: &str = "\
<!doctype html>
<title>fw-user</title>
<h1>fw-user</h1>
<p><a href=\"/metrics\">Metrics</a> of the filter on this machine, for Prometheus.</p>
";

/// A listening endpoint.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listen.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self> {
        let failed = |source| Error::Host(HostError::Listen { address, source });
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Its address, with the port that the kernel chose for port 0.
    #[must_use]
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answer on a separate thread until the process ends, so that a scraper does not wait for other work of the process.
    pub(crate) fn serve_apart(self, source: Source) -> Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || runtime.block_on(self.serve(source)).map(drop);
        thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
        Ok(())
    }

    /// Answer until this future is dropped.
    pub(crate) async fn serve(self, source: Source) -> io::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut connections = Connections::default();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => connections.admit(peer.ip(), |asked| {
                    let source = source.clone();
                    // One that takes too long is dropped, and so is its socket.
                    async move { drop(tokio::time::timeout(CONNECTION_LASTS, converse(stream, source, asked)).await) }
                }),
                // A connection that closed before it was accepted does not matter; other errors may pass when others close.
                Err(_) => tokio::time::sleep(BREATHER).await,
            }
        }
    }
}

/// One request per connection: a scraper that keeps its connection would take a slot.
async fn converse(stream: TcpStream, source: Source, asked: Asked) {
    let service = service_fn(async |request| {
        asked.set(true);
        let answer = answer(&request, &source);
        asked.set(false);
        Ok::<_, Infallible>(answer)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TAKES)
        .keep_alive(false)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // hyper answers malformed requests.
    let _unused = connection.await;
}

fn answer(request: &Request<Incoming>, source: &Source) -> Response<Full<Bytes>> {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, text, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let format = format(request.headers());
            match source.read().and_then(|reading| exposition::encode(reading, format)) {
                Ok(metrics) => response(StatusCode::OK, HeaderValue::from_static(format.content_type()), metrics),
                Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, text, format!("{error}\n")),
            }
        }
        "/" => response(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), LANDING.to_owned()),
        _ => response(StatusCode::NOT_FOUND, text, "nothing is here; /metrics has the metrics\n".to_owned()),
    }
}

fn response(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// `OpenMetrics` for those who name it, Prometheus' own format for everybody else.
fn format(headers: &HeaderMap) -> Format {
    let named = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(MediaTypeList::new);
    let wants = named.filter_map(std::result::Result::ok).any(|media| {
        let is_refused = media.get_param(names::Q).is_some_and(|weight| weight.as_str().parse() == Ok(0.0));
        media.ty == names::APPLICATION && media.subty.as_str().eq_ignore_ascii_case("openmetrics-text") && !is_refused
    });
    if wants { Format::OpenMetrics } else { Format::Prometheus }
}
