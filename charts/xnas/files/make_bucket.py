"""Make the store's bucket if it is absent; wait for the store for up to five minutes."""

import os
import sys
import time

from minio import Minio
from minio.error import S3Error

address, bucket, region = (os.environ[f"XNAS_S3_{name}"] for name in ("ENDPOINT", "BUCKET", "REGION"))
scheme, _, host = address.partition("://")
client = Minio(
    endpoint=host,
    access_key=os.environ["XNAS_S3_ACCESS_KEY"],
    secret_key=os.environ["XNAS_S3_SECRET_KEY"],
    secure=scheme == "https",
    region=region,
)
patience = float(os.environ.get("XNAS_S3_PATIENCE_SECONDS", "300"))
deadline = time.monotonic() + patience
while True:
    try:
        if client.bucket_exists(bucket_name=bucket):
            print(f"bucket {bucket} is there")
        else:
            client.make_bucket(bucket_name=bucket, location=region)
            print(f"bucket {bucket} made")
        break
    except S3Error as error:
        if error.code in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            continue
        trouble = f"{error.code}: {error.message}"
        if error.code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
            sys.exit(f"{address} refuses bucket {bucket}: {trouble}; check the store's keys and their rights")
    except Exception as error:  # noqa: BLE001 - whatever the HTTP library raises while the store is not there yet
        trouble = str(error)
    if time.monotonic() > deadline:
        sys.exit(f"{address} cannot be used: {trouble}")
    print(f"waiting for {address}: {trouble}", flush=True)
    time.sleep(2)
