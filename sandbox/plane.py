"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler of one cluster, and their flags."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import keys, kubeconfig, ports
from sandbox.api import Api
from sandbox.audit import AuditLog
from sandbox.processes import Processes
from sandbox.users import Person, Users

_START_S = 60.0
_API_SERVER = "kube-apiserver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Which addresses a cluster uses.

    Attributes:
        api_address: the only address the API server listens on; its nodes and pods must reach it, too.
        service_cidr: where the cluster addresses of Services come from.
    """

    api_address: str = "127.0.0.1"
    service_cidr: str = "10.96.0.0/16"


class ControlPlane:
    """The four programs; all they write lies in the directory of the cluster."""

    def __init__(
        self,
        processes: Processes,
        binaries: Mapping[str, Path],
        users: Users,
        network: Network,
        api_server_flags: Sequence[str] = (),
    ) -> None:
        """`api_server_flags` come last, so they win over ours."""
        self._processes = processes
        self._binaries = binaries
        self._users = users
        self._network = network
        self._api_server_flags = tuple(api_server_flags)
        self._etcd_port, self._etcd_peer_port = ports.free(2)
        (self._port,) = ports.free(1, network.api_address)
        self.url = f"https://{network.api_address}:{self._port}"
        self.ca_file = processes.directory / "certificates" / "apiserver.crt"
        self.key_file = self.ca_file.with_suffix(".key")
        self.admin_kubeconfig = processes.directory / "admin.kubeconfig"
        self._signing_key = processes.directory / "service-accounts.key"
        self.api = Api(self.url, self.ca_file, users.admin.token)
        self.audit = AuditLog(processes.directory)

    def start(self) -> None:
        """Starts the four programs; `wait` tells when they answer."""
        self._signing_key.touch(mode=0o600)
        self._signing_key.write_text(keys.private_key_pem())
        self._start_etcd()
        # An API server that is faster than etcd waits a whole second before its second try.
        self._processes.wait_until(
            self._etcd_is_healthy,
            "answer from etcd",
            timeout_s=_START_S,
            expecting=("etcd",),
        )
        self._launch_api_server()
        self._processes.wait_until(
            self._has_certificate, "serving certificate", timeout_s=_START_S, expecting=(_API_SERVER, "etcd")
        )
        self.write_kubeconfig(self.admin_kubeconfig, self._users.admin)
        self._start_controllers()

    def wait(self) -> None:
        """Until pods can be created: that takes the API server and the first rounds of the controllers."""
        self._wait_for_api_server()
        self._processes.wait_until(
            lambda: self.api.status("GET", "/api/v1/namespaces/default/serviceaccounts/default") == 200,
            "service account of the default namespace",
            timeout_s=_START_S,
            expecting=("kube-controller-manager", "kube-scheduler", _API_SERVER),
        )

    def start_api_server(self) -> None:
        """Starts the API server again on its port, and waits until it answers."""
        self._launch_api_server()
        self._wait_for_api_server()

    def stop_api_server(self, number: int = signal.SIGKILL) -> None:
        """Ends the API server, by default without a chance to say goodbye."""
        self._processes.stop(_API_SERVER, number)

    def write_kubeconfig(self, path: Path, person: Person) -> Path:
        ca_pem = self.ca_file.read_bytes()
        return kubeconfig.write(path, server=self.url, ca_pem=ca_pem, user=person.name, token=person.token)

    def _has_certificate(self) -> bool:
        # The key is written last.
        return self.key_file.exists() and self.key_file.read_bytes().endswith(
            b"-----END RSA PRIVATE KEY-----\n"
        )

    def _wait_for_api_server(self) -> None:
        self._processes.wait_until(
            lambda: self.api.status("GET", "/readyz") == 200,
            "answer from the API server",
            timeout_s=_START_S,
            expecting=(_API_SERVER, "etcd"),
        )

    def _etcd_is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=1.0)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _start_etcd(self) -> None:
        url = f"http://127.0.0.1:{self._etcd_port}"
        peers = f"http://127.0.0.1:{self._etcd_peer_port}"
        self._processes.start(
            "etcd",
            [
                self._binaries["etcd"],
                f"--data-dir={self._processes.directory / 'etcd'}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--unsafe-no-fsync",  # nobody needs this data after a power failure
                "--log-level=warn",
            ],
        )

    def _launch_api_server(self) -> None:
        self._processes.start(
            _API_SERVER,
            [
                self._binaries[_API_SERVER],
                f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
                f"--cert-dir={self.ca_file.parent}",
                f"--bind-address={self._network.api_address}",
                f"--advertise-address={self._network.api_address}",
                f"--secure-port={self._port}",
                f"--token-auth-file={self._users.file}",
                "--authorization-mode=Node,RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={self._signing_key}",
                f"--service-account-key-file={self._signing_key}",
                f"--service-cluster-ip-range={self._network.service_cidr}",
                "--kubelet-preferred-address-types=InternalIP",
                "--allow-privileged=true",
                *self.audit.flags(),
                "--max-requests-inflight=0",  # benchmarks measure us, not the queues of one small API server
                "--enable-priority-and-fairness=false",
                *self._api_server_flags,
            ],
        )

    def _start_controllers(self) -> None:
        common = [f"--kubeconfig={self.admin_kubeconfig}", "--leader-elect=false"]
        self._processes.start(
            "kube-controller-manager",
            [
                self._binaries["kube-controller-manager"],
                *common,
                "--bind-address=127.0.0.1",
                "--secure-port=0",
                f"--service-account-private-key-file={self._signing_key}",
                f"--root-ca-file={self.ca_file}",
                "--use-service-account-credentials",
                "--kube-api-qps=1000",  # by default each of its many service accounts waits for its turn
                "--kube-api-burst=2000",
            ],
        )
        self._processes.start(
            "kube-scheduler", [self._binaries["kube-scheduler"], *common, "--secure-port=0"]
        )
