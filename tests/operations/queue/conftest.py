from tests.aws import aws, moto_server
from tests.processes import start_process

__all__ = ["aws", "moto_server", "start_process"]
