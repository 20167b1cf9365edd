//! The certificates and keys of one control plane.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority of its own, and what it has signed, all as PEM files of one directory.
pub struct Certificates {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of one certificate.
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority, and a key pair that ServiceAccount tokens are signed with.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn new(directory: &Path) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "crik-tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?;
        fs::create_dir_all(directory)?;
        fs::write(directory.join("ca.crt"), authority.pem())?;
        fs::write(directory.join("ca.key"), key.serialize_pem())?;
        let accounts = KeyPair::generate()?;
        fs::write(directory.join("accounts.key"), accounts.serialize_pem())?;
        fs::write(directory.join("accounts.pub"), accounts.public_key_pem())?;
        Ok(Self { directory: directory.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// A server's, for these names and addresses.
    ///
    /// # Errors
    /// A name is none, or the directory cannot be written.
    pub fn server(&self, name: &str, names: &[String]) -> Result<Pair> {
        let params = CertificateParams::new(names)?;
        self.sign(name, name, params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's, who is `user` in `group`, as Kubernetes reads name and organization.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<Pair> {
        let mut params = CertificateParams::new(Vec::new())?;
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        self.sign(file, user, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        file: &str,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Pair> {
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let signed = params.signed_by(&key, &self.issuer).with_context(|| format!("cannot sign {file}"))?;
        let pair =
            Pair { certificate: self.path(&format!("{file}.crt")), key: self.path(&format!("{file}.key")) };
        fs::write(&pair.certificate, signed.pem())?;
        fs::write(&pair.key, key.serialize_pem())?;
        Ok(pair)
    }

    /// One of its files: `ca.crt`, `ca.key`, `accounts.key`, `accounts.pub`, or what was signed.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }
}
