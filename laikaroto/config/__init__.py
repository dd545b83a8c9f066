"""The configuration files: show.yaml, characters/*.yaml and queues/*.yaml, as strict records.

``read_configs`` reads a whole folder and reports every fault of every file at once, each as
``file: path.to.field: what is wrong``. Unknown keys are faults. The files in the top-level
``configs/`` folder explain every setting.
"""

from laikaroto.config.queue import (
    ENGINE_BLOCKS,
    DeadlineSettings,
    MailSettings,
    NotifySettings,
    OpenCueSettings,
    QueueConfig,
    SlurmSettings,
    WebhookSettings,
)
from laikaroto.config.reading import Configs, read_configs
from laikaroto.config.show import (
    CharacterConfig,
    MatteConfig,
    PlateConfig,
    RendersConfig,
    ReviewConfig,
    ShowConfig,
    TrainingConfig,
)
from laikaroto.config.values import (
    Strict,
    check_name,
    current_user,
    describe_faults,
    parse_duration,
)

__all__ = [
    "ENGINE_BLOCKS",
    "CharacterConfig",
    "Configs",
    "DeadlineSettings",
    "MailSettings",
    "MatteConfig",
    "NotifySettings",
    "OpenCueSettings",
    "PlateConfig",
    "QueueConfig",
    "RendersConfig",
    "ReviewConfig",
    "ShowConfig",
    "SlurmSettings",
    "Strict",
    "TrainingConfig",
    "WebhookSettings",
    "check_name",
    "current_user",
    "describe_faults",
    "parse_duration",
    "read_configs",
]
