//! What was frozen, and on what kind of machine: an image is only resumed where both still hold.

use std::ffi::OsString;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::base::kernel_pages::page_bytes;
use crate::base::limits::{self, CriuVersion};
use crate::generation::own_values::OwnValues;
use crate::generation::program_digests::{self, ProgramDigests};

/// The facts that decide whether an image can be resumed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The application's command line.
    pub argv: Vec<String>,
    /// The machine's architecture, as Rust names it.
    pub arch: String,
    /// How many bytes a page of memory has there: what is mapped is mapped in whole pages. Earlier releases did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_bytes: Option<u64>,
    /// How many bits a vector of arm64's SVE has there: a program asks once, and goes on in steps of that length. None where there are no
    /// such vectors, and of earlier releases, which did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_bits: Option<u32>,
    /// The instruction set extensions of its CPU that programs choose code by.
    pub cpu_features: Vec<String>,
    /// The kernel's release; for people, since CRIU checks what matters.
    pub kernel: String,
    /// CRIU's version; 0 where it was not asked.
    pub criu: u32,
    /// The node's name, for people.
    pub node: Option<String>,
    /// The pod's host name, for people.
    pub host: String,
    /// What the pod has of its own, such as its address; earlier releases did not tell.
    #[serde(default)]
    pub own: OwnValues,
    /// The files that the application was started from; none if that is not known.
    #[serde(flatten)]
    pub programs: ProgramDigests,
}

impl Identity {
    /// This container's, for an application started as `argv`.
    pub fn here(argv: &[OsString], node: Option<&str>) -> Self {
        let uname = nix::sys::utsname::uname().ok();
        let text = |field: Option<&std::ffi::OsStr>| field.unwrap_or_default().to_string_lossy().into_owned();
        Self {
            argv: argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            arch: std::env::consts::ARCH.to_owned(),
            page_bytes: Some(page_bytes()),
            vector_bits: vector_bits(),
            cpu_features: cpu_features(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            kernel: text(uname.as_ref().map(|uname| uname.release())),
            criu: 0,
            node: node.map(str::to_owned),
            host: text(uname.as_ref().map(|uname| uname.nodename())),
            own: OwnValues::default(),
            programs: ProgramDigests::default(),
        }
    }

    /// The same, with this CRIU.
    #[must_use]
    pub fn with_criu(self, criu: CriuVersion) -> Self {
        Self { criu: criu.0, ..self }
    }

    /// The same, of a pod with these values of its own.
    #[must_use]
    pub fn with_own(self, own: OwnValues) -> Self {
        Self { own, ..self }
    }

    /// The same, of an application that was started from these files.
    #[must_use]
    pub fn with_programs(self, programs: ProgramDigests) -> Self {
        Self { programs, ..self }
    }

    /// Why what was frozen as `self` cannot go on as `here`, if it cannot, whatever CRIU there is.
    pub fn obstacle(&self, here: &Self) -> Option<String> {
        if self.argv_of_any_pod() != here.argv_of_any_pod() {
            return Some(difference(&self.argv_of_any_pod(), &here.argv_of_any_pod()));
        }
        if self.arch != here.arch {
            return Some(format!(
                "it is of a machine of another architecture: {}, here {}; keep its pods on one (nodeSelector: kubernetes.io/arch)",
                self.arch, here.arch
            ));
        }
        self.other_sizes(here)
            .or_else(|| self.lacking(here))
            .or_else(|| program_digests::changed(&self.programs, &here.own))
    }

    /// Why what was frozen as `self` cannot be restored by `ours`, if it cannot.
    pub fn too_new_for(&self, ours: CriuVersion) -> Option<String> {
        let theirs = CriuVersion(self.criu);
        (theirs > ours)
            .then(|| format!("it was dumped by CRIU {theirs}, and {ours} here may not understand it"))
    }

    /// The command line without the pod's own values: the next pod gets `$(POD_IP)` as another address.
    fn argv_of_any_pod(&self) -> Vec<String> {
        self.argv.iter().map(|argument| self.own.taken_out_of(argument)).collect()
    }

    /// Of pages and vectors, where both machines tell them.
    fn other_sizes(&self, here: &Self) -> Option<String> {
        if let Some((theirs, ours)) = differing(self.page_bytes, here.page_bytes) {
            return Some(format!(
                "it is of a kernel whose pages of memory have {theirs} bytes, and here they have {ours}; keep its pods on nodes with one kernel"
            ));
        }
        let (theirs, ours) = differing(self.vector_bits, here.vector_bits)?;
        Some(format!(
            "it is of a CPU whose vectors (SVE) have {theirs} bits, and here they have {ours}; keep its pods on one CPU type"
        ))
    }

    /// CRIU compares too, but only at the restore, without naming what is missing, and a few instructions less.
    fn lacking(&self, here: &Self) -> Option<String> {
        let lacking: Vec<&str> =
            self.cpu_features.iter().filter(|f| !here.cpu_features.contains(f)).map(|f| &**f).collect();
        (!lacking.is_empty()).then(|| {
            format!(
                "this CPU lacks {}, which the program may use; keep its pods on one CPU type",
                lacking.join(", ")
            )
        })
    }
}

/// Both, if both are known and they are not the same.
fn differing<T: PartialEq>(theirs: Option<T>, ours: Option<T>) -> Option<(T, T)> {
    theirs.zip(ours).filter(|(theirs, ours)| theirs != ours)
}

/// How many bits the vectors of arm64's SVE have (prctl(2), PR_SVE_GET_VL). None where there are none.
fn vector_bits() -> Option<u32> {
    const PR_SVE_GET_VL: libc::c_int = 51;
    const PR_SVE_VL_LEN_MASK: libc::c_int = 0xffff;
    // SAFETY: it takes no further argument, and answers with a number.
    let told = unsafe { libc::prctl(PR_SVE_GET_VL) };
    // Its other bits are flags, and an error is negative.
    (told >= 0).then(|| (told & PR_SVE_VL_LEN_MASK).unsigned_abs() * 8)
}

/// Where two command lines differ. A value may be a secret, and the log is read by more people than the pod spec: of an argument only
/// what comes before its value is told.
fn difference(theirs: &[String], here: &[String]) -> String {
    let at = theirs.iter().zip(here).take_while(|(theirs, here)| theirs == here).count();
    let told = |argv: &[String]| argv.get(at).map_or_else(|| "nothing".to_owned(), |word| told(at, word));
    format!(
        "it is of another command: argument {at} of {} is {}, and this pod's is {}, of {}; compare the pod specs",
        theirs.len(),
        told(theirs),
        told(here),
        here.len()
    )
}

/// A program's name, or the name of an option; of all else only its length.
fn told(at: usize, word: &str) -> String {
    let name = if at == 0 || word.starts_with('-') { word.split('=').next().unwrap_or_default() } else { "" };
    let shown: String = name.chars().take(limits::ARGUMENT_TOLD_CHARS).collect();
    if shown == word { shown } else { format!("{shown}… ({} bytes)", word.len()) }
}

/// Prefixes of the flags in /proc/cpuinfo that stand for instructions; the others are about the kernel's own work.
const INSTRUCTION_SETS: [&str; 33] = [
    "abm",
    "adx",
    "aes",
    "amx_",
    "avx",
    "bmi",
    "cldemote",
    "clflushopt",
    "clwb",
    "erms",
    "f16c",
    "fma",
    "fsgsbase",
    "fsrm",
    "gfni",
    "movbe",
    "movdir",
    "pclmul",
    "pku",
    "pni",
    "popcnt",
    "rdpid",
    "rdrand",
    "rdseed",
    "rtm",
    "sha",
    "sse",
    "ssse",
    "tbm",
    "vaes",
    "vpclmul",
    "xop",
    "xsave",
];

/// Reads the first processor's flags (`flags` on x86, `Features` on ARM, where all are instructions).
fn cpu_features(cpuinfo: &str) -> Vec<String> {
    let line =
        |key: &str| cpuinfo.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_once(':'));
    let (flags, all) = match (line("flags"), line("Features")) {
        (Some((_, flags)), _) => (flags, false),
        (None, Some((_, features))) => (features, true),
        (None, None) => return Vec::new(),
    };
    let counts = |flag: &&str| all || INSTRUCTION_SETS.iter().any(|prefix| flag.starts_with(prefix));
    flags.split_ascii_whitespace().filter(counts).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::own_values::Kind;

    fn identity() -> Identity {
        let mut identity = Identity::here(&["app".into()], None).with_criu(CriuVersion(40_201));
        identity.cpu_features = vec!["avx2".to_owned()];
        identity
    }

    #[test]
    fn a_newer_machine_resumes_what_an_older_one_froze() {
        let mut newer = identity();
        newer.cpu_features.push("avx512f".to_owned());
        assert_eq!(identity().obstacle(&newer), None);
        assert_eq!(
            newer.obstacle(&identity()).unwrap(),
            "this CPU lacks avx512f, which the program may use; keep its pods on one CPU type"
        );
    }

    #[test]
    fn nothing_goes_on_on_another_architecture_nor_under_a_kernel_with_other_pages() {
        let of =
            |arch: &str, bytes| Identity { arch: arch.to_owned(), page_bytes: Some(bytes), ..identity() };
        assert_eq!(
            of("x86_64", 4096).obstacle(&of("aarch64", 4096)).unwrap(),
            "it is of a machine of another architecture: x86_64, here aarch64; keep its pods on one (nodeSelector: kubernetes.io/arch)"
        );
        let why = of("aarch64", 65_536).obstacle(&of("aarch64", 4096)).unwrap();
        assert!(why.contains("65536 bytes, and here they have 4096"), "{why}");
    }

    #[test]
    fn nothing_goes_on_with_vectors_of_another_length_and_no_earlier_release_takes_it_for_a_feature() {
        let of = |bits| Identity { vector_bits: bits, ..identity() };
        assert_eq!(
            of(Some(512)).obstacle(&of(Some(256))).unwrap(),
            "it is of a CPU whose vectors (SVE) have 512 bits, and here they have 256; keep its pods on one CPU type"
        );
        assert_eq!(of(Some(256)).obstacle(&of(Some(256))), None);
        let told = serde_json::to_value(of(Some(512))).unwrap();
        assert_eq!(told["vectorBits"], 512);
        assert_eq!(told["cpuFeatures"], serde_json::json!(["avx2"]));
        let here = Identity::here(&["app".into()], None);
        assert!(!here.cpu_features.iter().any(|feature| feature.ends_with("-bits")));
    }

    #[test]
    fn a_size_that_an_earlier_release_did_not_tell_is_unknown_and_stands_in_no_way() {
        let here = Identity { page_bytes: Some(65_536), vector_bits: Some(256), ..identity() };
        let mut told = serde_json::to_value(&here).unwrap();
        for name in ["pageBytes", "vectorBits"] {
            told.as_object_mut().unwrap().remove(name).unwrap();
        }
        let earlier: Identity = serde_json::from_value(told.clone()).unwrap();
        assert_eq!((earlier.page_bytes, earlier.vector_bits), (None, None));
        assert_eq!((earlier.obstacle(&here), here.obstacle(&earlier)), (None, None));
        assert_eq!(serde_json::to_value(&earlier).unwrap(), told);
    }

    #[test]
    fn another_command_line_is_another_program() {
        let other = Identity { argv: vec!["app".into(), "--new".into()], ..identity() };
        assert!(identity().obstacle(&other).unwrap().contains("another command"));
    }

    #[test]
    fn no_value_of_an_argument_is_told() {
        let argv =
            |words: &[&str]| Identity { argv: words.iter().map(|w| (*w).to_owned()).collect(), ..identity() };
        let old = argv(&["app", "--token=hunter2", "--password", "swordfish"]);
        for (new, expected) in [
            (
                &["app", "--token=hunter3", "--password", "swordfish"][..],
                "argument 1 of 4 is --token… (15 bytes), and this pod's is --token… (15 bytes), of 4",
            ),
            (
                &["app", "--token=hunter2", "--password", "trout"],
                "argument 3 of 4 is … (9 bytes), and this pod's is … (5 bytes), of 4",
            ),
            (&["app", "--token=hunter2"], "argument 2 of 4 is --password, and this pod's is nothing, of 2"),
            (
                &["job", "--token=hunter2", "--password", "swordfish"],
                "argument 0 of 4 is app, and this pod's is job, of 4",
            ),
        ] {
            let said = old.obstacle(&argv(new)).unwrap();
            assert!(said.contains(expected), "{said}");
            assert!(!["hunter", "swordfish", "trout"].iter().any(|secret| said.contains(secret)), "{said}");
        }
    }

    #[test]
    fn a_command_line_that_differs_in_the_pods_address_only_is_the_same() {
        let pod = |ip: &str, argument: &str| {
            let own = OwnValues::new([(Kind::Ipv4, ip.to_owned())]);
            Identity { argv: vec!["app".into(), argument.to_owned()], ..identity() }.with_own(own)
        };
        let past = pod("10.0.0.5", "--advertise=10.0.0.5");
        assert_eq!(past.obstacle(&pod("10.1.0.9", "--advertise=10.1.0.9")), None);
        assert!(past.obstacle(&pod("10.1.0.9", "--advertise=10.1.0.8")).is_some());
        let earlier_release = Identity { own: OwnValues::default(), ..past };
        assert!(earlier_release.obstacle(&pod("10.1.0.9", "--advertise=10.1.0.9")).is_some());
    }

    #[test]
    fn an_older_criu_is_not_trusted_with_a_newer_image() {
        let why = |here| identity().too_new_for(CriuVersion(here));
        assert!(why(40_200).unwrap().contains("dumped by CRIU 4.2.1, and 4.2.0 here"));
        assert_eq!((why(40_201), why(40_300)), (None, None));
    }

    #[test]
    fn only_instructions_count() {
        let flags = cpu_features("processor: 0\nflags\t\t: fpu avx2 ibrs sha_ni nopl\nflags : other");
        assert_eq!(flags, ["avx2", "sha_ni"]);
    }
}
