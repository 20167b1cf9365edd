//! Nodes as large as real ones are, 15 to 25 KB of JSON: most of it is the list of images.

use serde_json::{Value, json};

/// How many images a kubelet lists at most by default (`nodeStatusMaxImages`).
const IMAGES: u32 = 50;

/// The name of a node of the fleet.
pub fn name(number: usize) -> String {
    format!("ip-10-{}-{}-{}.eu-central-1.compute.internal", number >> 16, number >> 8 & 255, number & 255)
}

/// A node of the fleet, as its kubelet registers it.
pub fn node(number: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name(number), "labels": labels(number), "annotations": annotations(number)},
        "spec": {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24"],
                 "providerID": format!("aws:///eu-central-1a/i-{number:017x}")},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.7.9"}, {"type": "Hostname", "address": name(number)},
                          {"type": "InternalDNS", "address": name(number)}],
            "allocatable": resources("31482288Ki"),
            "capacity": resources("32498096Ki"),
            "conditions": conditions("2026-01-01T00:00:00Z"),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "images": (0..IMAGES).map(|image| self::image(number as u32 % 16, image)).collect::<Vec<_>>(),
            "nodeInfo": {
                "architecture": "amd64", "bootID": format!("0b2b7f0e-5d3c-4f6b-9b1e-{number:012x}"),
                "containerRuntimeVersion": "containerd://2.1.4", "kernelVersion": "6.12.40-63.114.amzn2023.x86_64",
                "kubeProxyVersion": "", "kubeletVersion": "v1.36.3-eks-113cf36",
                "machineID": format!("ec2{number:029x}"), "operatingSystem": "linux",
                "osImage": "Amazon Linux 2023.8.20250808", "systemUUID": format!("ec2a4b1c-9e5d-4f3a-8c7b-{number:012x}"),
            },
            "volumesAttached": (0..6).map(|v| json!({"devicePath": "", "name":
                format!("kubernetes.io/csi/ebs.csi.aws.com^vol-0{v:016x}")})).collect::<Vec<_>>(),
            "volumesInUse": (0..6).map(|v| format!("kubernetes.io/csi/ebs.csi.aws.com^vol-0{v:016x}")).collect::<Vec<_>>(),
        },
    })
}

/// Its conditions, with the time of the last heartbeat: what changes with every status that a kubelet posts.
pub fn conditions(heartbeat: &str) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
               "lastHeartbeatTime": heartbeat, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    json!([
        condition(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available"
        ),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("KernelDeadlock", "False", "KernelHasNoDeadlock", "kernel has no deadlock"),
        condition("ReadonlyFilesystem", "False", "FilesystemIsNotReadOnly", "Filesystem is not read-only"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}

fn labels(number: usize) -> Value {
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/instance-type": "m7i.2xlarge",
        "beta.kubernetes.io/os": "linux", "failure-domain.beta.kubernetes.io/region": "eu-central-1",
        "failure-domain.beta.kubernetes.io/zone": "eu-central-1a", "k8s.io/cloud-provider-aws": "d41d8cd98f00b204",
        "karpenter.k8s.aws/instance-category": "m", "karpenter.k8s.aws/instance-cpu": "8",
        "karpenter.k8s.aws/instance-family": "m7i", "karpenter.k8s.aws/instance-generation": "7",
        "karpenter.k8s.aws/instance-memory": "32768", "karpenter.k8s.aws/instance-network-bandwidth": "2500",
        "karpenter.sh/capacity-type": "spot", "karpenter.sh/initialized": "true", "karpenter.sh/nodepool": "general",
        "karpenter.sh/registered": "true", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "m7i.2xlarge", "topology.ebs.csi.aws.com/zone": "eu-central-1a",
        "topology.k8s.aws/zone-id": "euc1-az2", "topology.kubernetes.io/region": "eu-central-1",
        "topology.kubernetes.io/zone": "eu-central-1a",
    });
    labels["kubernetes.io/hostname"] = json!(name(number));
    labels
}

fn annotations(number: usize) -> Value {
    json!({
        "alpha.kubernetes.io/provided-node-ip": "10.0.7.9",
        "csi.volume.kubernetes.io/nodeid": format!("{{\"ebs.csi.aws.com\":\"i-{number:017x}\",\"efs.csi.aws.com\":\"i-{number:017x}\"}}"),
        "karpenter.k8s.aws/ec2nodeclass-hash": "16029811352462532113", "karpenter.k8s.aws/ec2nodeclass-hash-version": "v4",
        "karpenter.sh/nodepool-hash": "12028663807258658692", "karpenter.sh/nodepool-hash-version": "v3",
        "node.alpha.kubernetes.io/ttl": "300", "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    })
}

fn resources(memory: &str) -> Value {
    json!({"cpu": "7910m", "ephemeral-storage": "95551679124", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
           "memory": memory, "pods": "58"})
}

/// By digest and by tag, as containerd has it. The fleet shares its images by pools of nodes.
fn image(pool: u32, number: u32) -> Value {
    let repository =
        format!("602401143452.dkr.ecr.eu-central-1.amazonaws.com/team-{pool}/some-service-{number}");
    let digest =
        format!("{:064x}", u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834));
    json!({"names": [format!("{repository}@sha256:{digest}"), format!("{repository}:v1.{number}.{pool}-build.20260101")],
           "sizeBytes": 187_654_321 + number})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_the_fleet_is_as_large_as_a_real_one() {
        for number in [0, 14_999] {
            let size = node(number).to_string().len();
            assert!((15_000..25_000).contains(&size), "{size} bytes");
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<String> = (0..15_000).map(name).collect();
        assert_eq!(names.len(), 15_000);
    }
}
