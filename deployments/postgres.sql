-- A new server's roles and databases, run once by the image's entry point as the administrator.
-- The product and Prefect each own their database and can enter no other; the extensions are made
-- here, since making them needs more rights than either has.
\getenv facepass_password DATABASE_PASSWORD
\getenv prefect_password PREFECT_DATABASE_PASSWORD
CREATE ROLE facepass LOGIN PASSWORD :'facepass_password';
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE DATABASE facepass OWNER facepass;
CREATE DATABASE prefect OWNER prefect;
REVOKE CONNECT ON DATABASE facepass, prefect FROM PUBLIC;
\connect facepass
CREATE EXTENSION vector;
\connect prefect
CREATE EXTENSION pg_trgm;
