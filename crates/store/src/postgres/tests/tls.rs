//! TLS to the server, with certificates made on the spot: who is trusted, and what is said of who is not.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::super::cluster::{Cluster, Durability};
use super::super::target::Target;
use super::{Opened, block_on, options};

/// A certificate authority of the test's own, with a file that names it to clients.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self) -> String {
        self.directory.path().join("ca.pem").display().to_string()
    }
}

/// A server that speaks TLS as `localhost`, on a port.
fn cluster_with_tls(authority: &Authority) -> (Cluster, u16) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let mut cluster = Cluster::start(Durability::Volatile).unwrap();
    cluster.create_database("mail").unwrap();
    cluster.stop().unwrap();
    let certificate = cluster.keep_secret("server.crt", &certificate.pem()).unwrap();
    let key = cluster.keep_secret("server.key", &key.serialize_pem()).unwrap();
    let port = cluster.listen().unwrap();
    cluster.set("ssl=on");
    cluster.set(&format!("ssl_cert_file={}", certificate.display()));
    cluster.set(&format!("ssl_key_file={}", key.display()));
    cluster.run().unwrap();
    (cluster, port)
}

async fn open(url: &str) -> Result<Opened, String> {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::parse(url, None).unwrap();
    Opened::open(&options(target, directory.path())).await.map_err(|error| error.to_string())
}

#[test]
fn a_server_is_trusted_by_its_authority_and_its_name() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (cluster, port) = cluster_with_tls(&ours);
    let url = |host: &str, query: &str| format!("postgres://postgres@{host}:{port}/mail?{query}");
    let check = async |url: String, parts: &[&str]| {
        let error = open(&url).await.err().expect(&url);
        assert!(parts.iter().all(|part| error.contains(part)), "{url}: {error}");
    };
    block_on(async {
        for mode in ["verify-full", "require", "prefer"] {
            let opened = open(&url("localhost", &format!("sslmode={mode}&sslrootcert={}", ours.file()))).await.unwrap();
            opened.accept().await.unwrap();
            let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                       WHERE application_name = 'postrider'";
            assert_eq!(cluster.ask("mail", sql).unwrap(), "t", "{mode}");
        }
        let unknown = ["UnknownIssuer", "sslrootcert"];
        check(url("localhost", &format!("sslmode=verify-full&sslrootcert={}", theirs.file())), &unknown).await;
        check(url("localhost", "sslmode=verify-full"), &unknown).await;
        let elsewhere = url("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={}", ours.file()));
        check(elsewhere, &["localhost", "by a name that stands in"]).await;
        // Whenever TLS is spoken it is checked, also where it need not be.
        check(url("127.0.0.1", &format!("sslmode=prefer&sslrootcert={}", ours.file())), &["localhost"]).await;
    });
}

#[test]
fn plain_text_is_not_spoken_where_one_side_demands_tls() {
    let authority = Authority::new("ours");
    let (mut cluster, port) = cluster_with_tls(&authority);
    let url = |query: &str| format!("postgres://postgres@localhost:{port}/mail?{query}");
    let trusted = format!("sslmode=verify-full&sslrootcert={}", authority.file());
    block_on(async {
        // The server demands it.
        let only_tls = "local all all trust\nhostssl all all all trust\n";
        std::fs::write(cluster.data().join("pg_hba.conf"), only_tls).unwrap();
        cluster.ask("mail", "SELECT pg_reload_conf()").unwrap();
        drop(open(&url(&trusted)).await.unwrap());
        let error = open(&url("sslmode=disable")).await.err().unwrap();
        assert!(error.contains("no encryption") && error.contains("sslmode=verify-full"), "{error}");
    });
    // We do.
    cluster.stop().unwrap();
    cluster.set("ssl=off");
    std::fs::write(cluster.data().join("pg_hba.conf"), "local all all trust\nhost all all all trust\n").unwrap();
    cluster.run().unwrap();
    block_on(async {
        let error = open(&url(&trusted)).await.err().unwrap();
        assert!(error.contains("does not support TLS") && error.contains("ssl = on"), "{error}");
        drop(open(&url("sslmode=prefer")).await.unwrap());
    });
}
