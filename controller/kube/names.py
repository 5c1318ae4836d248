"""Names and times of this room: every object that we touch, and every wait, is named here once.

Promise: every name and selector carries the release, so that two releases in one namespace never
touch each other. What a newcomer gets wrong: pods are selected by `app.kubernetes.io/instance`,
which charts set; the instances of somebody else's StatefulSet carry other labels, given by
`instance_selector`; our own Leases carry labels of our own.
"""

import re
import secrets

from attrs import frozen

FIELD_MANAGER = "memgraph-controller"
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
CONTROLLER_COMPONENT = "controller"
RELEASE_LABEL = "memgraph-controller/release"
KIND_LABEL = "memgraph-controller/kind"
DATABASE_CONTAINER = "memgraph"
JITTER = secrets.SystemRandom().random  # uniform in [0, 1); tests bring their own


@frozen
class KubeNames:
    """Who we are, and what everything of this release is called."""

    release: str
    namespace: str
    statefulset: str
    pod_name: str
    pod_uid: str
    instance_selector: str = ""

    @property
    def ledger(self) -> str:
        """ConfigMap with the ledger."""
        return f"{self.release}-ledger"

    def archive(self, number: int) -> str:
        """ConfigMap with an older segment of the ledger."""
        return f"{self.ledger}-{number:06d}"

    @property
    def reset(self) -> str:
        """ConfigMap with the reset tokens: instance -> token."""
        return f"{self.release}-reset"

    @property
    def requests(self) -> str:
        """ConfigMap with the requests of people: id -> one line of JSON."""
        return f"{self.release}-requests"

    @property
    def leader_lease(self) -> str:
        """Lease that lets one controller act."""
        return f"{self.release}-leader"

    @property
    def gateway_lease_prefix(self) -> str:
        """What stands before the pod's name in the name of its gateway Lease."""
        return f"{self.release}-gateway-"

    @property
    def gateway_lease(self) -> str:
        """This pod's gateway Lease."""
        return self.gateway_lease_prefix + self.pod_name

    @property
    def pods_path(self) -> str:
        """Collection of pods."""
        return f"/api/v1/namespaces/{self.namespace}/pods"

    @property
    def config_maps_path(self) -> str:
        """Collection of ConfigMaps."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def leases_path(self) -> str:
        """Collection of Leases."""
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    @property
    def pod_selector(self) -> str:
        """Label selector for the pods of this release, instances and controllers alike."""
        return f"{INSTANCE_LABEL}={self.release}"

    @property
    def controller_selector(self) -> str:
        """Label selector for the controllers' pods of this release alone."""
        return f"{self.pod_selector},{COMPONENT_LABEL}={CONTROLLER_COMPONENT}"

    @property
    def gateway_selector(self) -> str:
        """Label selector for the gateway Leases of this release."""
        return f"{RELEASE_LABEL}={self.release},{KIND_LABEL}=gateway"

    def labels(self, kind: str) -> dict[str, str]:
        """Labels of an object of ours; `kind`: "ledger", "gateway", "leader", ..."""
        return {INSTANCE_LABEL: self.release, RELEASE_LABEL: self.release, KIND_LABEL: kind}

    def is_instance_pod(self, name: str) -> bool:
        """Whether this is the name of a pod of the StatefulSet."""
        return re.fullmatch(re.escape(self.statefulset) + r"-(0|[1-9]\d*)", name) is not None


@frozen
class KubeTimes:
    """Every wait of this room, in seconds.

    Invariant: lease_duration_s > renew_deadline_s > retry_s * 1.2, so that a leader stops before
    anybody else may begin, and has more than one try. Source: client-go's leader election.
    """

    lease_duration_s: float = 6.0
    renew_deadline_s: float = 4.0
    retry_s: float = 1.0
    request_timeout_s: float = 5.0  # a quorum read takes 2-30 ms; more than this is an outage
    confirm_timeout_s: float = 2.0  # of what keeps a gateway open: half of its self-fence
    gateway_lease_s: int = 5  # shown in the Lease for people; readers wait their own barrier
    relist_min_s: float = 30.0  # a watch may be blind without an error: list again this often
    relist_max_s: float = 60.0
    backoff_min_s: float = 0.2
    backoff_max_s: float = 30.0
    lasting_retry_s: float = 10.0  # after 401, 403: people have to act, and the log stays readable
    health_s: float = 20.0  # a watch that lived so long makes earlier failures forgotten
    read_grace_s: float = 10.0  # past the server's own end of a watch: half-open

    @property
    def lease_request_s(self) -> float:
        """The longest that one request about the leader Lease may take.

        An API server may take a second for a write and still be well; whoever gives up sooner loses
        the Lease again and again. Half of the deadline leaves time for a second try. Source:
        client-go.
        """
        return max(self.retry_s, self.renew_deadline_s / 2)

    def __attrs_post_init__(self) -> None:
        if not self.lease_duration_s > self.renew_deadline_s > self.retry_s * 1.2 > 0:
            raise ValueError(
                "lease_duration_s > renew_deadline_s > retry_s * 1.2 > 0 must hold, not "
                f"{self.lease_duration_s} > {self.renew_deadline_s} > {self.retry_s} * 1.2"
            )
