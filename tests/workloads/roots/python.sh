#!/bin/sh
# Makes the root file system of pods with Python's usual packages in the directory $1: that of the other pods, $2, and a virtual
# environment of Debian's Python with wheels from the package index, in /venv.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/small"
chroot "$root" apt-get update
chroot "$root" apt-get install --yes --no-install-recommends python3-venv curl

# How this machine reaches the package index: by its own settings and certificates, which do not stay.
certificates=$root/etc/ssl/certs/ca-certificates.crt
cp "$certificates" "$certificates.own"
cp /etc/ssl/certs/ca-certificates.crt "$certificates"
[ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
chroot "$root" python3 -m venv /venv
chroot "$root" /venv/bin/python -m pip install --no-cache-dir --no-deps --only-binary :all: \
    anyio==4.16.0 argon2-cffi-bindings==26.2.0 argon2-cffi==25.1.0 arrow==1.4.0 asttokens==3.0.2 attrs==26.1.0 \
    beautifulsoup4==4.15.0 bleach==6.4.0 cffi==2.1.1 click==8.5.1 cloudpickle==3.1.3 comm==0.2.3 dask==2026.8.0 debugpy==1.8.22 \
    defusedxml==0.7.1 distributed==2026.8.0 duckdb==2.0.1 executing==2.3.0 fastjsonschema==2.22.3 fqdn==1.6.0 fsspec==2026.9.0 \
    gunicorn==27.0.1 h11==0.16.0 idna==3.20 ipykernel==7.4.0 ipython==9.18.1 ipython_pygments_lexers==1.1.1 isoduration==20.11.0 \
    jedi==0.20.1 jinja2==3.1.6 joblib==1.6.0 jsonpointer==3.12 jsonschema-specifications==2025.9.1 jsonschema==4.26.0 \
    jupyter-events==0.12.1 jupyter_client==8.10.0 jupyter_core==5.9.1 jupyter_server==2.21.1 jupyter_server_terminals==0.5.4 \
    jupyterlab_pygments==0.3.0 lark==1.3.1 locket==1.0.0 markupsafe==3.0.4 matplotlib-inline==0.2.2 mistune==3.4.0 \
    msgpack==1.2.4 narwhals==2.29.0 nbclient==0.11.0 nbconvert==7.17.2 nbformat==5.11.1 nest-asyncio2==1.7.4 numpy==2.5.5 \
    packaging==26.4 pandas==3.1.1 pandocfilters==1.5.1 parso==0.8.7 partd==1.4.2 pexpect==4.9.0 platformdirs==4.14.8 \
    polars-runtime-32==2.1.0 polars==2.1.0 prometheus_client==0.26.0 prompt_toolkit==3.0.53 psutil==7.2.2 ptyprocess==0.7.0 \
    pure_eval==0.2.4 pycparser==3.12 pygments==2.21.0 python-dateutil==4.0.0 python-json-logger==4.2.0 pyyaml==6.0.4 \
    pyzmq==27.3.0 referencing==0.37.0 rfc3339-validator==0.1.4 rfc3986-validator==0.1.1 rfc3987-syntax==1.1.0 rpds-py==2026.9.1 \
    scikit-learn==1.9.1 scipy==1.18.1 send2trash==2.2.0 six==1.17.0 sortedcontainers==2.4.0 soupsieve==4.1.3 stack-data==0.6.3 \
    tblib==3.2.2 terminado==0.18.1 threadpoolctl==3.8.0 tinycss2==1.5.1 toolz==1.2.0 tornado==6.6.1 tqdm==4.70.1 \
    traitlets==5.16.1 typing_extensions==4.16.0 tzdata==2026.6 uri-template==1.3.0 uvicorn==0.54.0 uvloop==0.23.0 \
    watchfiles==1.3.0 wcwidth==0.9.4 webcolors==25.10.0 webencodings==0.6.1 websocket-client==1.9.2 zict==3.0.0
chroot "$root" /venv/bin/python -m pip uninstall --yes pip
mv "$certificates.own" "$certificates"
chroot "$root" apt-get clean
for package in dask distributed pandas scipy sklearn; do
    find "$root"/venv/lib/python3*/site-packages/"$package" -type d -name tests -prune -exec rm -rf {} +
done
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf" "$root/etc/pip.conf"
