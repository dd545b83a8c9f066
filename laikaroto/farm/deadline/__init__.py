"""AWS Deadline Cloud: the same bundle, read by its own library, created through its service.

Deadline Cloud runs Open Job Description itself, so a job is handed over as it is and the
service does the scheduling. Needs the extra ``deadline`` and AWS credentials.
"""
