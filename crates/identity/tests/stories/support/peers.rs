use std::{future::Future, io, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::CertificateDer,
    pki_types::pem::PemObject,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Ca, Issued};

/// A server made of parts that are not ours, so that it can disagree with us.
pub(crate) struct TlsServer {
    config: ServerConfig,
}

impl TlsServer {
    pub(crate) fn new(issued: &Issued) -> Self {
        Self::build(issued, rustls::ALL_VERSIONS, None)
    }

    pub(crate) fn speaking(issued: &Issued, version: &'static SupportedProtocolVersion) -> Self {
        Self::build(issued, &[version], None)
    }

    /// Demands a certificate of `ca`.
    pub(crate) fn demanding(issued: &Issued, version: &'static SupportedProtocolVersion, ca: &Ca) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        Self::build(issued, &[version], Some(verifier))
    }

    /// Shows `shown` and signs with the key of `held`.
    pub(crate) fn lying(shown: &Issued, held: &Issued, version: &'static SupportedProtocolVersion) -> Self {
        let mut server = Self::build(held, &[version], None);
        let key = aws_lc_rs::sign::any_supported_type(&held.key()).unwrap();
        let certified = Arc::new(CertifiedKey::new(shown.chain.clone(), key));
        server.config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        server
    }

    fn build(
        issued: &Issued,
        versions: &[&'static SupportedProtocolVersion],
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        // Tickets are on, as they are by default: they must be neither taken up nor taken for a response.
        Self { config: builder.with_single_cert(issued.chain.clone(), issued.key()).unwrap() }
    }

    /// Serves one connection with `serve`.
    pub(crate) async fn serve<F, R>(self, serve: impl FnOnce(TlsStream<TcpStream>) -> F + Send + 'static) -> Peer<R>
    where
        F: Future<Output = R> + Send,
        R: Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(self.config));
        Peer::start(async move |io| match acceptor.accept(io).await {
            Ok(tls) => Ok(serve(tls).await),
            Err(error) => Err(error),
        })
        .await
    }

    /// Reads until the client closes; returns what it read.
    pub(crate) async fn start(self) -> Peer<Vec<u8>> {
        self.serve(async |mut tls| {
            let mut read = Vec::new();
            let _ = tls.read_to_end(&mut read).await;
            read
        })
        .await
    }
}

/// Something that listens, serves one connection and tells what came of it.
pub(crate) struct Peer<R> {
    address: std::net::SocketAddr,
    served: JoinHandle<io::Result<R>>,
}

impl<R: Send + 'static> Peer<R> {
    pub(crate) async fn start<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<R>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (io, _) = listener.accept().await?;
            serve(io).await
        });
        Self { address, served }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn outcome(self) -> io::Result<R> {
        self.served.await.unwrap()
    }
}

/// Answers a ClientHello with these bytes, then closes its half and reads on.
pub(crate) async fn answering(bytes: Vec<u8>) -> Peer<()> {
    Peer::start(async move |mut io| {
        read_hello(&mut io).await?;
        io.write_all(&bytes).await?;
        io.shutdown().await?;
        tokio::io::copy(&mut io, &mut tokio::io::sink()).await.map(|_| ())
    })
    .await
}

/// Reads one record, which is the whole of our ClientHello.
pub(crate) async fn read_hello(io: &mut TcpStream) -> io::Result<()> {
    let mut header = [0; 5];
    io.read_exact(&mut header).await?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    io.read_exact(&mut body).await.map(|_| ())
}

/// An unencrypted fatal alert.
pub(crate) fn alert_record(code: u8) -> Vec<u8> {
    vec![0x15, 3, 3, 0, 2, 2, code]
}

/// A client made of parts that are not ours, with a session store.
pub(crate) struct RustlsClient {
    config: Arc<rustls::ClientConfig>,
}

impl RustlsClient {
    pub(crate) fn new(ca: &Ca, shown: Option<&Issued>, version: &'static SupportedProtocolVersion) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            Some(shown) => builder.with_client_auth_cert(shown.chain.clone(), shown.key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        Self { config: Arc::new(config) }
    }

    /// Shows what `shown` says, which need not fit together.
    pub(crate) fn showing(
        ca: &Ca,
        shown: Arc<dyn rustls::client::ResolvesClientCert>,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut client = Self::new(ca, None, version);
        Arc::make_mut(&mut client.config).client_auth_cert_resolver = shown;
        client
    }

    pub(crate) async fn connect(
        &self,
        io: TcpStream,
        name: &'static str,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        self.connect_over(io, name).await
    }

    pub(crate) async fn connect_over<I: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: I,
        name: &'static str,
    ) -> io::Result<tokio_rustls::client::TlsStream<I>> {
        let connector = tokio_rustls::TlsConnector::from(self.config.clone());
        connector.connect(name.try_into().unwrap(), io).await
    }
}
