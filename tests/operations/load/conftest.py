from tests.aws import aws, moto_server

__all__ = ["aws", "moto_server"]
