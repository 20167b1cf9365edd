"""Uploads what is in a bucket once more, by S3's own client for Python, and prints how many milliseconds that took.

    upload.py ENDPOINT BUCKET
"""

import io
import sys
import time

import boto3

endpoint, bucket = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
# As one file, which it cuts into parts and sends several of at a time by itself.
contents = io.BytesIO(b"".join(client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys))
began = time.monotonic()
client.upload_fileobj(contents, bucket, "again")
print((time.monotonic() - began) * 1000)
client.delete_object(Bucket=bucket, Key="again")
